"""How evenly experts, devices and sequences are used: figures, and losses that even them out."""

import torch
from torch import Tensor

from recbench.models.deepseek.routing import Routing
from recbench.models.ranks import has_ranks, mean_of_all, summed_over_ranks

__all__ = ["balance_figures", "balance_loss", "expert_load"]


def expert_load(routing: Routing) -> Tensor:
    """(E,) tokens that each expert got, of all ranks."""
    own = torch.bincount(routing.experts.flatten(), minlength=routing.affinities.shape[1])
    return summed_over_ranks(own)


def balance_loss(
    routing: Routing,
    sequences: Tensor,
    *,
    n_groups: int,
    expert: float,
    device: float,
    sequence: float,
) -> Tensor:
    """Weighted sum of the balance losses on the levels of experts, devices and sequences.

    Each is 1 where the load is even (devices: summed over groups, so times nothing) and grows with
    what is sent to the favourites; gradients go through the affinities. With several ranks the mean
    of their losses is that of all tokens, and so are its gradients.

    Args:
        routing: of T tokens.
        sequences: (T,) which sequence a token belongs to.
        n_groups: experts of one group are on one device.
        expert: factor of the loss over experts.
        device: factor of the loss over groups.
        sequence: factor of the mean of each sequence's own loss over experts.

    Source: DeepSeek-V2, equations 23 to 28; the sequence-wise one: DeepSeek-V3, equation 17.
    """
    chosen = _chosen(routing)
    frac, affinity = _share(chosen), mean_of_all(routing.affinities)
    by_group = frac.reshape(n_groups, -1).mean(dim=1)
    affinity_of_group = affinity.reshape(n_groups, -1).sum(dim=1)
    loss = expert * (frac * affinity).sum() + device * (by_group * affinity_of_group).sum()
    if sequence:
        n_sequences = int(sequences.max()) + 1 if len(sequences) else 0
        counts, sums = (
            _by_sequence(values, sequences, n_sequences) for values in (chosen, routing.affinities)
        )
        n_tokens = torch.bincount(sequences, minlength=n_sequences)[:, None].clamp(min=1)
        scale = chosen.shape[1] / routing.experts.shape[1]
        own = (scale * counts / n_tokens * (sums / n_tokens)).sum(dim=1)  # (B,)
        loss = loss + sequence * mean_of_all(own)
    return loss


@torch.no_grad()
def balance_figures(routing: Routing, sequences: Tensor, *, n_groups: int) -> dict[str, float]:
    """The largest load over the mean load, by expert, device and (mean of) sequence: 1 is even.

    Of this rank's tokens; empty where it has none.
    """
    if not len(sequences):
        return {}
    chosen = _chosen(routing)
    load = chosen.sum(dim=0)
    of_device = load.reshape(n_groups, -1).sum(dim=1)
    of_sequence = _by_sequence(chosen, sequences, int(sequences.max()) + 1)
    peak = of_sequence.amax(dim=1) / of_sequence.mean(dim=1)
    return {
        "expert_balance": float(load.max() / load.mean()),
        "device_balance": float(of_device.max() / of_device.mean()),
        "sequence_balance": float(peak.mean()),
        "experts_used_frac": float((load > 0).float().mean()),
    }


def _chosen(routing: Routing) -> Tensor:
    """(T, E) 1 where the token goes to the expert."""
    return torch.zeros_like(routing.affinities).scatter(1, routing.experts, 1.0)


def _share(chosen: Tensor) -> Tensor:
    """(E,) load over the even load."""
    if not has_ranks():
        return chosen.mean(dim=0) * (chosen.shape[1] / chosen[0].sum())
    load = summed_over_ranks(chosen.sum(dim=0))
    return load * (chosen.shape[1] / load.sum())


def _by_sequence(values: Tensor, sequences: Tensor, n_sequences: int) -> Tensor:
    """(T, E) -> (B, E) sums."""
    return values.new_zeros(n_sequences, values.shape[1]).index_add(0, sequences, values)
