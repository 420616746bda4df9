"""Heads: generative, discriminative, GAD."""
