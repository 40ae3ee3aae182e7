"""Models that answer the `Recommender` calls: the two-tower, and the baselines beside it."""
