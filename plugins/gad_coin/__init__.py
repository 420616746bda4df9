"""Dataset: COIN, instructional videos with steps and tasks."""
