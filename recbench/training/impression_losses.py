"""Losses over impressions: shown, and clicked or not, and watched for how long."""

import torch
from torch import Tensor
from torch.nn import functional

from recbench.errors import InputError

__all__ = ["click_and_watch_loss", "click_loss"]


def click_loss(logits: Tensor, clicked: Tensor, *, weights: Tensor | None = None) -> Tensor:
    """Mean binary cross-entropy of impressions, clicked or not.

    With ``weights = torch.where(clicked, watch_s, 1.0)`` this is weighted logistic regression:
    ``logits.exp()`` estimates seconds of watching over impressions without a click, which is the
    expected watch time where clicks are rare.

    Args:
        logits: (N,) of the chance of a click.
        clicked: (N,) bool.
        weights: (N,) how much each impression counts, not negative; their scale does not matter.

    Raises:
        InputError: the shapes differ, ``clicked`` is not bool, or ``weights`` are not usable.

    Source: Covington et al., "Deep neural networks for YouTube recommendations", RecSys 2016.
    """
    if clicked.shape != logits.shape or clicked.dtype != torch.bool:
        raise InputError(
            f"`clicked` must be bool of shape {tuple(logits.shape)}, as `logits`; got "
            f"{clicked.dtype} of shape {tuple(clicked.shape)}"
        )
    losses = functional.binary_cross_entropy_with_logits(
        logits, clicked.to(logits.dtype), reduction="none"
    )
    if weights is None:
        return losses.mean()
    if weights.shape != logits.shape:
        raise InputError(
            f"`weights` must have shape {tuple(logits.shape)}, as `logits`; got "
            f"{tuple(weights.shape)}"
        )
    total = weights.sum()
    if not (weights.min() >= 0 and 0 < total < torch.inf):
        raise InputError(
            "`weights` must be finite, not negative, and not all zero; got a minimum of "
            f"{weights.min().item()} and a sum of {total.item()}"
        )
    return (losses * weights).sum() / total


def click_and_watch_loss(
    click_logits: Tensor,
    log_watch: Tensor,
    *,
    clicked: Tensor,
    watch_s: Tensor,
    watch_weight: float,
) -> Tensor:
    """Cross-entropy of the click, plus the squared error of the watch time of what was clicked.

    Watch times span seconds to hours, so what is predicted is ``log(1 + seconds)``.

    Args:
        click_logits: (N,) of the chance of a click.
        log_watch: (N,) the predicted ``log(1 + watch_s)``.
        clicked: (N,) bool.
        watch_s: (N,) seconds; negative or NaN where unknown: such a click counts as a click only.
        watch_weight: > 0, of the mean squared error in the sum.

    Raises:
        InputError: the shapes differ, ``clicked`` is not bool, or ``watch_weight`` not positive.

    Source: Zhao et al., "Recommending what video to watch next: a multitask ranking system",
    RecSys 2019: cross-entropy for clicks, squared loss for time spent, a weighted sum of both.
    """
    if not watch_weight > 0:
        raise InputError(
            f"`watch_weight` must be positive, got {watch_weight}; for clicks alone: `click_loss`"
        )
    if not log_watch.shape == watch_s.shape == click_logits.shape:
        raise InputError(
            f"`log_watch` and `watch_s` must have shape {tuple(click_logits.shape)}, as "
            f"`click_logits`; got {tuple(log_watch.shape)} and {tuple(watch_s.shape)}"
        )
    known = clicked & (watch_s >= 0)
    errors = (log_watch - torch.log1p(watch_s)).masked_fill(~known, 0.0).square()
    watched = errors.sum() / known.sum().clamp(min=1)
    return click_loss(click_logits, clicked) + watch_weight * watched
