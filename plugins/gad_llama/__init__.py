"""Backbones: Llama-family checkpoints, and a tiny random one for tests and demos."""
