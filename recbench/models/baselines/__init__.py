"""The baselines that every result stands beside."""

from recbench.models.baselines.blends import WithFallback, WithRecencyPrior
from recbench.models.baselines.factors import ALS
from recbench.models.baselines.neighbours import EASE, ItemKNN
from recbench.models.baselines.popularity import Popularity, RecencyPopularity

__all__ = [
    "ALS",
    "EASE",
    "ItemKNN",
    "Popularity",
    "RecencyPopularity",
    "WithFallback",
    "WithRecencyPrior",
]
