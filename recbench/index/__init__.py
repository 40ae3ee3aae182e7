"""From query embeddings to candidates."""

from recbench.index.approximate import ApproximateIndex, ApproximateSettings
from recbench.index.choose import Choice, choose_index, usual_settings
from recbench.index.exact import ExactIndex
from recbench.index.filters import CandidateFilters
from recbench.index.protocol import Index

__all__ = [
    "ApproximateIndex",
    "ApproximateSettings",
    "CandidateFilters",
    "Choice",
    "ExactIndex",
    "Index",
    "choose_index",
    "usual_settings",
]
