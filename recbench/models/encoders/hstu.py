"""Pointwise attention over the history, after HSTU."""

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from recbench.errors import InputError
from recbench.models.encoders.layout import Layout

__all__ = ["HSTU"]

N_PLACES, N_TIMES = 128, 32  # buckets of distance in events, and in seconds on a log scale
BUCKETS_PER_E = 1.5


class HSTU(nn.Module):
    """Gated blocks whose attention weights are SiLU of a score, not a softmax.

    The score has a bias by distance in events and in time. The weights are an L x L matrix a head:
    memory grows with the square of the history, unlike the other encoders'.

    Source: Zhai et al., "Actions speak louder than words: trillion-parameter sequential
    transducers for generative recommendations", ICML 2024.
    """

    def __init__(self, dim: int, *, n_layers: int = 2, n_heads: int = 2) -> None:
        """``dim`` is of events and states.

        Raises:
            InputError: ``dim`` is no multiple of ``n_heads``.
        """
        super().__init__()
        if dim % n_heads:
            raise InputError(f"`dim` must be a multiple of `n_heads`, got {dim} and {n_heads}")
        self.blocks = nn.ModuleList(_Block(dim, n_heads) for _ in range(n_layers))
        self.norm = nn.RMSNorm(dim)

    def forward(self, events: Tensor, layout: Layout, age_s: Tensor) -> Tensor:
        """(T, D) events -> (T, D) states."""
        ages = layout.rectangle(age_s)  # (B, L)
        gap_s = (ages[:, None, :] - ages[:, :, None]).clamp(min=0.0)  # (B, L, L) from key to query
        times = (torch.log1p(gap_s) * BUCKETS_PER_E).long().clamp(max=N_TIMES - 1)
        places = torch.arange(ages.shape[1], device=ages.device)
        distance = places[:, None] - places  # (L, L)
        seen = (distance >= 0).to(events.dtype)
        distance = distance.clamp(min=0, max=N_PLACES - 1)
        states = events
        for block in self.blocks:
            states = block(states, layout, times, distance, seen)
        return cast("Tensor", self.norm(states))


class _Block(nn.Module):
    def __init__(self, dim: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.before, self.after = nn.RMSNorm(dim), nn.RMSNorm(dim)
        self.uvqk = nn.Linear(dim, 4 * dim)
        self.out = nn.Linear(dim, dim)
        self.by_place, self.by_time = (
            nn.Embedding(N_PLACES, n_heads),
            nn.Embedding(N_TIMES, n_heads),
        )
        nn.init.zeros_(self.by_place.weight)
        nn.init.zeros_(self.by_time.weight)

    def forward(
        self, states: Tensor, layout: Layout, times: Tensor, distance: Tensor, seen: Tensor
    ) -> Tensor:
        gate, *vqk = functional.silu(self.uvqk(self.before(states))).chunk(4, dim=-1)
        width = states.shape[1] // self.n_heads
        values, queries, keys = (
            layout.rectangle(part.reshape(part.shape[0], self.n_heads, width)).transpose(1, 2)
            for part in vqk
        )  # (B, H, L, d)
        bias = (self.by_place(distance) + self.by_time(times)).permute(0, 3, 1, 2)  # (B, H, L, L)
        scores = queries @ keys.transpose(-1, -2) / math.sqrt(queries.shape[-1]) + bias
        counts = seen.sum(dim=-1, keepdim=True)  # events seen: states do not grow with the history
        weights = functional.silu(scores) * (seen / counts)
        mixed = layout.flat((weights @ values).transpose(1, 2).flatten(2))
        return cast("Tensor", states + self.out(self.after(mixed) * gate))
