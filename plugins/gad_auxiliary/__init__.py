"""Auxiliary tasks: label, previous, next, past, goal."""
