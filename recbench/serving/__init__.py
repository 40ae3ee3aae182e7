"""Answers from a release."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recbench.serving.recommender import ReleasedRecommender

__all__ = ["ReleasedRecommender"]


def __getattr__(name: str) -> Any:
    """What is asked for: the process that hands out connections needs none of the heavy parts."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from recbench.serving.recommender import ReleasedRecommender

    return ReleasedRecommender
