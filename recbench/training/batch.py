"""One training batch: events of histories, requests after them, targets, shared candidates."""

from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from recbench.models.encoders.layout import Packed

__all__ = ["Batch", "Points"]


class Points(NamedTuple):
    """P requests whose target is known."""

    after: Tensor  # (P,) the last event that is seen, of T
    gap_s: Tensor  # (P,) seconds from there to the request
    window: Tensor  # (P, W) window features as of the request
    history: Tensor  # (P,) which of the B histories
    target_at: Tensor  # (P,) position in item_rows
    target_log_q: Tensor  # (P,) as of candidates


class Batch(NamedTuple):
    """P requests after T events of B histories, against C candidates; N distinct items in all."""

    item_rows: Tensor  # (N,) the items to encode
    id_kept: Tensor  # (N, 1) float 0 or 1: whether the id is seen, or content alone
    candidate_at: Tensor  # (C,) positions in item_rows
    candidate_features: Tensor  # (C, F)
    candidate_log_prior: Tensor  # (C,)
    candidate_rows: Tensor  # (A,) item rows of all ranks' candidates; A = C with one rank
    log_q: Tensor  # (A,) natural log of the chance to be drawn
    all_items: bool  # whether candidate_rows is the whole catalogue in order
    hits: Tensor | None  # (B, A) bool, no negatives of this history; None: only the own target
    event_at: Tensor  # (T,) positions in item_rows
    layout: Packed  # of the T events
    age_s: Tensor  # (T,) seconds from event to its history's request
    watch_ratio: Tensor  # (T,) -1 where unknown
    points: Points
    target_features: Tensor  # (P, F) of the targets of points
    target_log_prior: Tensor  # (P,)
    target_watch_ratio: Tensor  # (P,) -1 where unknown
    target_propensity: Tensor  # (P,) with which the target was shown, -1 where unknown
    inner: Points | None  # next events within the histories, judged by taste alone
    examples: Tensor  # (B,) which examples the histories are of

    @property
    def n_histories(self) -> int:
        """B."""
        return self.layout.at.shape[0]

    def to(self, device: torch.device) -> Self:
        """The same batch there; nothing is copied where it is there already."""
        return _moved(self, device)  # type: ignore[no-any-return]  # a batch of tensors again


def _moved(part: Any, device: torch.device) -> Any:
    if isinstance(part, Tensor):
        return part.to(device, non_blocking=True)
    if part is None or isinstance(part, bool):
        return part
    return type(part)(*(_moved(field, device) for field in part))
