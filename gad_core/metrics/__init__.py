"""Metrics of closed-set action understanding: numpy in, numbers out."""
