"""What the tests of a component need: a tiny backbone, a word tokenizer, samples in memory."""
