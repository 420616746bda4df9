"""`gad bench`: how fast an experiment trains and answers, beside the scheme of the official code."""
