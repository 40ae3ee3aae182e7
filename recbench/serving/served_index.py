"""The index that a release is searched with: what it chose, else what its size mostly needs."""

from recbench.index import ApproximateIndex, ExactIndex, Index, usual_settings
from recbench.index.protocol import Floats, Ints
from recbench.refresh.registry import Release
from recbench.refresh.stored_index import read_index

__all__ = ["served_index"]


def served_index(release: Release, candidate_embeddings: Floats, *, hidden: Ints) -> Index:
    """The release's choice; for one without, exact for a small catalogue, else approximate.

    Args:
        release: whose files are verified.
        candidate_embeddings: (C, D) of the release.
        hidden: rows never to be returned.

    Raises:
        InputError: the catalogue is large and faiss is not installed.
        ReleaseError: what the release holds of its index does not belong together.
    """
    chosen = read_index(release, candidate_embeddings, hidden=hidden)
    if chosen is not None:
        return chosen
    settings = usual_settings(len(candidate_embeddings))
    if settings is None:
        return ExactIndex(candidate_embeddings, hidden)
    return ApproximateIndex.build(candidate_embeddings, settings, hidden=hidden)
