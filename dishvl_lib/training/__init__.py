"""Stage 04: the training process."""
