"""Examples, batches, losses and the loop that trains a two-tower."""

from recbench.training.metrics_when_asked import metrics_when_asked

metrics_when_asked()  # before anything here imports Lightning
