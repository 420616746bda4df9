"""Dataset: the user's own segments, as clips or as an online stream."""
