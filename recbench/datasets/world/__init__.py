"""A short-video world with a known truth: who asks, what there is, and what they would do."""
