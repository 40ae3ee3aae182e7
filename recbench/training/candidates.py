"""Candidates that do not come from the own batch alone, and whose negatives they must not be."""

from collections.abc import Iterable
from typing import NamedTuple, Self

import torch
from torch import Tensor

from recbench.errors import InputError

__all__ = ["Candidates", "accidental_hits"]


class Candidates(NamedTuple):
    """C encoded items; an item may stand there several times, as often as it was drawn."""

    embeddings: Tensor  # (C, D)
    item_rows: Tensor  # (C,) int64
    log_q: Tensor  # (C,) natural log of the chance to be drawn

    @classmethod
    def joined(cls, parts: Iterable[Self]) -> Self:
        """All parts, one after another: columns of the first part stay what they are."""
        return cls(*(torch.cat(fields) for fields in zip(*parts, strict=True)))

    def checked(self) -> Self:
        """These candidates.

        Raises:
            InputError: the fields do not have one entry per candidate, or a row is not int64.
        """
        embeddings, item_rows, log_q = self
        shapes = (len(embeddings),)
        if embeddings.ndim != 2 or not item_rows.shape == log_q.shape == shapes:
            raise InputError(
                "`embeddings` must be (C, D), `item_rows` and `log_q` (C,); got "
                f"{tuple(embeddings.shape)}, {tuple(item_rows.shape)} and {tuple(log_q.shape)}"
            )
        if item_rows.dtype != torch.int64:
            raise InputError(f"`item_rows` must be int64, got {item_rows.dtype}")
        return self


def accidental_hits(
    owners: Tensor, positive_rows: Tensor, candidate_rows: Tensor, *, n_queries: int
) -> Tensor:
    """(Q, C) bool: true where a candidate is one of the query's own items.

    Args:
        owners: (K,) int64 the query, of ``n_queries``, that each own item belongs to.
        positive_rows: (K,) int64 item rows.
        candidate_rows: (C,) int64 item rows.
        n_queries: Q.

    Raises:
        InputError: ``owners`` and ``positive_rows`` do not have one shape.
    """
    if owners.shape != positive_rows.shape:
        raise InputError(
            "`owners` and `positive_rows` must have one entry per own item; got shapes "
            f"{tuple(owners.shape)} and {tuple(positive_rows.shape)}"
        )
    distinct, column = torch.unique(candidate_rows, return_inverse=True)
    if not len(distinct):
        return candidate_rows.new_zeros(n_queries, 0, dtype=torch.bool)
    place = torch.searchsorted(distinct, positive_rows).clamp(max=len(distinct) - 1)
    found = distinct[place] == positive_rows
    marked = torch.zeros(n_queries, len(distinct), dtype=torch.bool, device=column.device)
    marked[owners[found], place[found]] = True
    return marked[:, column]
