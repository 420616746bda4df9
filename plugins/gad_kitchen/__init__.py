"""Dataset: a generator of synthetic kitchen activities for demos and tests."""
