"""Softmax of each request's own target among candidates that all requests share."""

import torch
from torch import Tensor

__all__ = ["shared_negatives_loss"]


def shared_negatives_loss(
    positive: Tensor, negatives: Tensor, *, positive_log_q: Tensor, log_q: Tensor, hits: Tensor
) -> Tensor:
    """Mean cross-entropy of P targets, each beside the same C sampled candidates.

    Args:
        positive: (P,) logit of each request's target, already over the temperature.
        negatives: (P, C) logits of the candidates.
        positive_log_q: (P,) natural log of the target's chance to be drawn as a candidate.
        log_q: (C,) the same of the candidates.
        hits: (P, C) bool; candidates that are no negatives of a request (accidental hits).

    Source: Yi et al., "Sampling-bias-corrected neural modeling for large corpus item
    recommendations", RecSys 2019; mixed negatives after Yang et al., "Mixed negative sampling for
    learning two-tower neural networks in recommendations", WWW 2020.
    """
    own = positive - positive_log_q
    others = (negatives - log_q).masked_fill(hits, -torch.inf)
    return (torch.logaddexp(others.logsumexp(dim=1), own) - own).mean()
