"""From query embeddings to candidates."""

from recbench.index.approximate import ApproximateIndex, ApproximateSettings
from recbench.index.choose import Choice, choose_index, kept_index, usual_settings
from recbench.index.exact import ExactIndex
from recbench.index.filters import CandidateFilters
from recbench.index.protocol import Index
from recbench.index.trained import Trained

__all__ = [
    "ApproximateIndex",
    "ApproximateSettings",
    "CandidateFilters",
    "Choice",
    "ExactIndex",
    "Index",
    "Trained",
    "choose_index",
    "kept_index",
    "usual_settings",
]
