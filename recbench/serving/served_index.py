"""The index that a release is searched with, by the size of its catalogue."""

from recbench.index import ApproximateIndex, ApproximateSettings, ExactIndex, Index
from recbench.index.choose import EXACT_BELOW
from recbench.index.protocol import Floats, Ints

__all__ = ["served_index"]

LARGE = ApproximateSettings(oversample=25)


def served_index(candidate_embeddings: Floats, *, hidden: Ints) -> Index:
    """Exact for a small catalogue, approximate for a large one.

    Args:
        candidate_embeddings: (C, D) of a release.
        hidden: rows never to be returned.

    Raises:
        InputError: the catalogue is large and faiss is not installed.
    """
    if len(candidate_embeddings) < EXACT_BELOW:
        return ExactIndex(candidate_embeddings, hidden)
    return ApproximateIndex.build(candidate_embeddings, LARGE, hidden=hidden)
