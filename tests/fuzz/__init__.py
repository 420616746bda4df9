"""Damaged inputs: whatever gad is given, it ends with 0, or with 2 and a message. See docs/mutations.md."""
