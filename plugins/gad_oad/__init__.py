"""Dataset: online action detection in the field's own layout, and the benchmarks' annotations turned into it."""
