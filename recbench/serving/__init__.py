"""Answers from a release."""

from recbench.serving.recommender import ReleasedRecommender

__all__ = ["ReleasedRecommender"]
