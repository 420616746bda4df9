"""What is kept of a run: what makes it the same run, its figures, log and predictions, the folder they are in."""
