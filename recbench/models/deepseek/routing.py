"""Which experts a token goes to, and how evenly they are used."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from recbench.models.deepseek.architecture import Architecture

__all__ = ["Router", "Routing"]

INITIAL_STD = 0.02


class Routing(NamedTuple):
    """T tokens among E experts, K each."""

    affinities: Tensor  # (T, E) softmax over the experts
    experts: Tensor  # (T, K)
    weights: Tensor  # (T, K) what each chosen expert's answer counts


class Router(nn.Module):
    """Softmax affinities and the K largest; a bias moves the choice, never the weight.

    With several groups only experts of the best groups are chosen, so that a token visits few
    devices.

    Source: DeepSeek-V2, section 2.2; the bias after Wang et al., "Auxiliary-loss-free load
    balancing strategy for mixture-of-experts", 2024.
    """

    def __init__(self, sizes: Architecture) -> None:
        """The bias starts at zero: the published routing."""
        super().__init__()
        self.sizes = sizes
        self.weight = nn.Parameter(torch.empty(sizes.n_experts, sizes.dim))
        nn.init.normal_(self.weight, std=INITIAL_STD)
        self.bias: Tensor
        self.register_buffer("bias", torch.zeros(sizes.n_experts))

    def forward(self, states: Tensor) -> Routing:
        """(T, D) -> the routing of each token, in float32 whatever the states are."""
        logits = functional.linear(states.float(), self.weight.float())
        affinities = logits.softmax(dim=-1)
        _, experts = self._selectable(affinities + self.bias).topk(
            self.sizes.experts_per_token, dim=-1
        )
        weights = affinities.gather(1, experts) * self.sizes.routed_scale
        return Routing(affinities, experts, weights)

    @torch.no_grad()
    def adjust_bias(self, load: Tensor, *, rate: float) -> None:
        """Raise the bias of experts below the mean ``load`` (E,), lower that of those above."""
        self.bias += rate * torch.sign(load.mean() - load)

    def _selectable(self, affinities: Tensor) -> Tensor:
        """The affinities, out of reach outside the best groups."""
        if self.sizes.n_groups == 1:
            return affinities
        per_group = self.sizes.n_experts // self.sizes.n_groups
        grouped = affinities.reshape(
            affinities.shape[0], self.sizes.n_groups, per_group
        )  # (T, G, E / G)
        _, best = grouped.amax(dim=-1).topk(self.sizes.groups_per_token, dim=-1)
        chosen = torch.zeros_like(grouped[..., 0]).scatter(1, best, 1.0)
        return grouped.masked_fill(chosen[..., None] == 0, -torch.inf).flatten(1)
