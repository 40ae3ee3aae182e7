"""Losses over a batch of queries and a sample of candidates."""

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["log_q_corrected", "sampled_softmax_loss"]


def log_q_corrected(logits: Tensor, log_q: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Logits with the sampling bias removed: ``logits / temperature - log_q``.

    Candidates that are drawn more often appear more often as negatives and would be over-penalised.
    The temperature is applied before the correction, and nothing is clipped.

    Args:
        logits: (Q, C); row i scores query i against every candidate of the batch.
        log_q: (C,) natural log of each candidate's chance to be drawn, in (-inf, 0].
        temperature: > 0, unitless; smaller is sharper.

    Returns:
        (Q, C), dtype and device of ``logits``.

    Raises:
        ValueError: ``log_q`` is not (C,), or ``temperature`` is not positive.

    Source: Yi et al., "Sampling-bias-corrected neural modeling for large corpus item
    recommendations", RecSys 2019.
    """
    if temperature <= 0:
        raise ValueError(f"`temperature` must be positive, got {temperature}")
    if log_q.shape != logits.shape[-1:]:
        raise ValueError(
            "`log_q` must have one value per candidate: expected shape "
            f"{tuple(logits.shape[-1:])}, got {tuple(log_q.shape)}"
        )
    return logits / temperature - log_q


def sampled_softmax_loss(logits: Tensor, targets: Tensor, *, log_q: Tensor, hits: Tensor) -> Tensor:
    """Mean cross-entropy of each query's target among the sampled candidates.

    Args:
        logits: (Q, C), already over the temperature.
        targets: (Q,) the column of each query's target.
        log_q: (C,) natural log of each candidate's chance to be drawn.
        hits: (Q, C) bool; candidates that must not serve as negatives of a query (accidental
            hits): other positives of it, and items that it could not be shown.

    Source: Yi et al., RecSys 2019; mixed negatives after Yang et al., "Mixed negative sampling for
    learning two-tower neural networks in recommendations", WWW 2020.
    """
    corrected = log_q_corrected(logits, log_q).masked_fill(hits, -torch.inf)
    return functional.cross_entropy(corrected, targets)
