"""Backbone: the pretrained SmolLM2-135M-Instruct."""
