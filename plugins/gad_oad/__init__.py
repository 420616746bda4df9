"""Dataset: the field's online-action-detection layout."""
