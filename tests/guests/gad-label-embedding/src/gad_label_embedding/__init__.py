"""A head for gad whose classes are the language model's own encodings of their labels."""
