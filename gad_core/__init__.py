"""gad: closed-set action understanding with language models."""

__version__ = "0.1.0"
