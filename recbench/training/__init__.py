"""Examples, batches, losses and the loop that trains a two-tower."""
