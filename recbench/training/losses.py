"""Losses of targets beside sampled candidates that all requests share, and of watching."""

import torch
from torch import Tensor
from torch.nn import functional

__all__ = [
    "binary_cross_entropy_loss",
    "bpr_loss",
    "distillation_loss",
    "log_q_corrected",
    "reinforce_loss",
    "sampled_softmax_loss",
    "watch_loss",
]


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


def sampled_softmax_loss(
    positive: Tensor,
    negatives: Tensor,
    *,
    positive_log_q: Tensor,
    log_q: Tensor,
    hits: Tensor,
) -> Tensor:
    """Mean cross-entropy of P targets, each among the same C sampled candidates.

    Args:
        positive: (P,) logit of each request's target, already over the temperature.
        negatives: (P, C) logits of the candidates.
        positive_log_q: (P,) natural log of the target's chance to be drawn as a candidate.
        log_q: (C,) the same of the candidates.
        hits: (P, C) bool; candidates that must not serve as negatives of a request (accidental
            hits): its target drawn again, other positives, and items that it could not be shown.

    Source: Yi et al., RecSys 2019; mixed negatives after Yang et al., "Mixed negative sampling for
    learning two-tower neural networks in recommendations", WWW 2020.
    """
    own = positive - positive_log_q
    others = log_q_corrected(negatives, log_q).masked_fill_(hits, -torch.inf)
    return (torch.logaddexp(others.logsumexp(dim=1), own) - own).mean()


def bpr_loss(positive: Tensor, negatives: Tensor, *, hits: Tensor) -> Tensor:
    """Mean over targets of ``-log sigmoid(positive - negative)``, the mean over its negatives.

    Args:
        positive: (P,) scores of the targets.
        negatives: (P, C) scores of the candidates.
        hits: (P, C) bool, no negatives of the request; a request without any negative counts 0.

    Source: Rendle et al., "BPR: Bayesian personalized ranking from implicit feedback", UAI 2009.
    """
    return _mean_of_negatives(functional.softplus(negatives - positive[:, None]), hits).mean()


def binary_cross_entropy_loss(positive: Tensor, negatives: Tensor, *, hits: Tensor) -> Tensor:
    """Mean over targets of the log loss of the click, plus the mean log loss of what was not.

    Args:
        positive: (P,) logits of what was clicked.
        negatives: (P, C) logits of what was not.
        hits: (P, C) bool, no negatives of the request.

    Source: Kang and McAuley, "Self-attentive sequential recommendation", ICDM 2018, equation 7.
    """
    clicked = functional.softplus(-positive)
    return (clicked + _mean_of_negatives(functional.softplus(negatives), hits)).mean()


def watch_loss(predicted: Tensor, watch_ratio: Tensor) -> Tensor:
    """Mean log loss of the watched share of what was clicked; 0 where none is known.

    Args:
        predicted: (P,) logits of the share.
        watch_ratio: (P,) watched share of the item's length, above 1 as 1, -1 where unknown.

    Source: the second task of Zhao et al., "Recommending what video to watch next: a multitask
    ranking system", RecSys 2019, as a share.
    """
    known = watch_ratio >= 0
    losses = functional.binary_cross_entropy_with_logits(
        predicted, watch_ratio.clamp(0.0, 1.0), reduction="none"
    )
    return (losses * known).sum() / known.sum().clamp(min=1)


def _mean_of_negatives(losses: Tensor, hits: Tensor) -> Tensor:
    """(P, C) -> (P,)."""
    kept = ~hits
    return (losses * kept).sum(dim=1) / kept.sum(dim=1).clamp(min=1)


def distillation_loss(logits: Tensor, parent_logits: Tensor) -> Tensor:
    """Mean divergence of P rankings from those of a model that is held still.

    Args:
        logits: (P, C) of the model that learns, over the temperature.
        parent_logits: (P, C) of the other one, over its own temperature, without gradient.

    Returns:
        The Kullback-Leibler divergence KL(parent, own) of the softmax over candidates, in nats.

    Source: Hinton et al., "Distilling the knowledge in a neural network", 2015.
    """
    return functional.kl_div(
        logits.log_softmax(dim=1),
        parent_logits.log_softmax(dim=1),
        log_target=True,
        reduction="batchmean",
    )


def reinforce_loss(
    log_policy: Tensor, rewards: Tensor, propensities: Tensor, *, slate: int, cap: float
) -> Tensor:
    """Mean over targets of ``-reward * weight * multiplier * log policy``: off-policy REINFORCE.

    The weight is policy over propensity, at most ``cap``; the multiplier
    ``K * (1 - policy) ** (K - 1)`` is for lists of K drawn from the policy: what will be in the
    list anyway is pushed no further. Neither is differentiated.

    Args:
        log_policy: (P,) log chance of the target under the policy that learns, not above 0.
        rewards: (P,) of showing the target, not negative.
        propensities: (P,) with which it was shown; negative where unknown: it teaches nothing.
        slate: K, at least 1.
        cap: > 0, of the weights.

    Source: Chen et al., "Top-K off-policy correction for a REINFORCE recommender system", WSDM
    2019, equations 5 to 8.
    """
    known = propensities > 0
    policy = log_policy.detach().exp()
    weights = (policy / propensities.clamp(min=torch.finfo(policy.dtype).tiny)).clamp(max=cap)
    multiplier = slate * (1 - policy).clamp(min=0.0) ** (slate - 1)
    terms = rewards * weights * multiplier * log_policy
    return -(terms * known).sum() / known.sum().clamp(min=1)
