"""What every index answers, however it searches."""

from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

__all__ = ["Bools", "Floats", "Index", "Ints"]

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


class Index(Protocol):
    """C candidates by item row; searched by inner product from many threads at once.

    An index never changes: what adds or removes candidates gives a new one that shares with the
    old one all that stayed.
    """

    def __len__(self) -> int:
        """The number of item rows, hidden ones included."""
        ...

    @property
    def n_bytes(self) -> int:
        """What it holds in memory, its candidate embeddings included."""
        ...

    def search(
        self,
        query_embeddings: Floats,
        *,
        k: int,
        excluded: tuple[Ints, Ints] | None = None,
        allowed: Bools | None = None,
    ) -> tuple[Ints, Floats]:
        """The k candidates of largest inner product, best first, and those products, both (Q, k).

        A list is shorter than k only where no other candidate is left: then it ends in -1 with
        score -inf. Scores are exact to the precision of the embeddings held.

        Args:
            query_embeddings: (Q, D).
            k: list length.
            excluded: parallel (query, item row) positions never to be returned, such as what each
                user has seen.
            allowed: (C,) item rows that may be returned to any of the queries, such as those in
                stock; default: all.

        Raises:
            InputError: ``k`` below 1, NaN, queries of another dimension, or ``allowed`` of another
                length.
        """
        ...

    def with_candidates(self, item_rows: Ints, candidate_embeddings: Floats) -> Self:
        """With (N, D) embeddings at (N,) distinct rows: of new items, or instead of older ones.

        A hidden row that is given an embedding is shown again.

        Raises:
            InputError: rows that leave a gap after the last one, or embeddings that do not fit.
        """
        ...

    def without(self, item_rows: Ints) -> Self:
        """With the candidates of these rows hidden; they keep their rows.

        Raises:
            InputError: a row outside the index.
        """
        ...
