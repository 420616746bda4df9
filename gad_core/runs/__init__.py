"""Running experiments: batches, training, checkpoints, evaluation, one run, many runs, and using a finished one."""
