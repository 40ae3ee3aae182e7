"""The baselines that every result stands beside."""

from recbench.models.baselines.blends import WithFallback, WithRecencyPrior
from recbench.models.baselines.decayed import DecayedEASE
from recbench.models.baselines.factors import ALS, BPR
from recbench.models.baselines.neighbours import EASE, ItemKNN
from recbench.models.baselines.personal import PersonalFrequency
from recbench.models.baselines.popularity import Popularity, RecencyPopularity
from recbench.models.baselines.sessions import VSKNN
from recbench.models.baselines.slim import SLIM
from recbench.models.baselines.transitions import Markov

__all__ = [
    "ALS",
    "BPR",
    "EASE",
    "SLIM",
    "VSKNN",
    "DecayedEASE",
    "ItemKNN",
    "Markov",
    "PersonalFrequency",
    "Popularity",
    "RecencyPopularity",
    "WithFallback",
    "WithRecencyPrior",
]
