"""Dataset: COIN."""
