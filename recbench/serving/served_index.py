"""The index that a release is searched with, by the size of its catalogue."""

from recbench.index import ApproximateIndex, ExactIndex, Index, usual_settings
from recbench.index.protocol import Floats, Ints

__all__ = ["served_index"]


def served_index(candidate_embeddings: Floats, *, hidden: Ints) -> Index:
    """Exact for a small catalogue, approximate for a large one; built anew.

    Args:
        candidate_embeddings: (C, D) of a release.
        hidden: rows never to be returned.

    Raises:
        InputError: the catalogue is large and faiss is not installed.
    """
    settings = usual_settings(len(candidate_embeddings))
    if settings is None:
        return ExactIndex(candidate_embeddings, hidden)
    return ApproximateIndex.build(candidate_embeddings, settings, hidden=hidden)
