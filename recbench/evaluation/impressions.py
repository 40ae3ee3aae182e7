"""How well scores order and foretell the clicks of logged impressions."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError

__all__ = ["ImpressionMetrics"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
BINS = 10  # of equal numbers of impressions, for the calibration error


@dataclass(frozen=True, slots=True)
class ImpressionMetrics:
    """Of N impressions in requests; what cannot be told (no request has both kinds) is NaN."""

    gauc: float  # AUC within requests, weighted by their impressions; ties count half
    ndcg: float  # within requests with a click, the whole list
    log_loss: float
    calibration_error: float  # mean |click share - mean chance| over ten bins of equal size
    n_requests: int  # with both clicked and unclicked impressions

    @classmethod
    def of(
        cls, chance: Floats, clicked: npt.NDArray[np.bool_], request: Ints | npt.NDArray[np.str_]
    ) -> Self:
        """From (N,) chances of a click in (0, 1), what was clicked, and each one's request.

        Raises:
            InputError: the lengths differ or are 0, or a chance lies outside of (0, 1).
        """
        if not len(chance) == len(clicked) == len(request) or not len(chance):
            raise InputError(
                "Impressions need a chance, a click and a request each, got "
                f"{len(chance)}, {len(clicked)} and {len(request)}"
            )
        if not (chance.min() > 0 and chance.max() < 1):
            raise InputError(f"Chances must lie in (0, 1), got {chance.min()} to {chance.max()}")
        _, group = np.unique(request, return_inverse=True)
        aucs, weights, ndcgs = [], [], []
        for of_request in _groups(group):
            own, hit = chance[of_request], clicked[of_request]
            if hit.any():
                ndcgs.append(_ndcg(own, hit))
            if hit.any() and not hit.all():
                aucs.append(_auc(own, hit))
                weights.append(len(own))
        loss = -np.mean(np.log(np.where(clicked, chance, 1.0 - chance)))
        return cls(
            float(np.average(aucs, weights=weights)) if aucs else float("nan"),
            float(np.mean(ndcgs)) if ndcgs else float("nan"),
            float(loss),
            _calibration_error(chance, clicked),
            len(aucs),
        )


def _groups(group: Ints) -> list[Ints]:
    order = np.argsort(group, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(group[order])) + 1)


def _auc(chance: Floats, clicked: npt.NDArray[np.bool_]) -> float:
    pairs = chance[clicked][:, None] - chance[~clicked][None, :]
    return float(np.mean((pairs > 0) + 0.5 * (pairs == 0)))


def _ndcg(chance: Floats, clicked: npt.NDArray[np.bool_]) -> float:
    discount = 1.0 / np.log2(np.arange(2, len(chance) + 2))
    order = np.argsort(-chance, kind="stable")
    return float(discount[clicked[order]].sum() / discount[: clicked.sum()].sum())


def _calibration_error(chance: Floats, clicked: npt.NDArray[np.bool_]) -> float:
    order = np.argsort(chance, kind="stable")
    bins = [part for part in np.array_split(order, BINS) if len(part)]
    gaps = [abs(clicked[part].mean() - chance[part].mean()) for part in bins]
    return float(np.average(gaps, weights=[len(part) for part in bins]))
