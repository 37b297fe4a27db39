"""Training: one step, the run folder, the loop."""
