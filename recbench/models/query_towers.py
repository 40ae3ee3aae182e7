"""Query towers: from the events of histories to embeddings of requests.

A request comes after an event of its history and sees nothing later. All towers take the same
events and requests and give unit vectors over the temperature, then the weight of the prior.
"""

import math
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from recbench.models.encoders.layout import Layout
from recbench.models.perceptron import perceptron

__all__ = ["Events", "PooledQueryTower", "Requests", "SequenceQueryTower"]

SMALLEST_TEMPERATURE = 0.05
N_EVENT_FEATURES = 3  # log gap, watch ratio, is it known


class Events(NamedTuple):
    """T events of B histories, each in order of time."""

    encoded: Tensor  # (T, D) the items
    layout: Layout
    age_s: Tensor  # (T,) seconds from event to the request that ends the history
    watch_ratio: Tensor  # (T,) watched share of the item's length, -1 where unknown


class Requests(NamedTuple):
    """P requests, each after one of the T events."""

    after: Tensor  # (P,) the last event that is seen
    gap_s: Tensor  # (P,) seconds since then
    window: Tensor  # (P, W) raw window features as of the request, not negative
    one_each: bool = False  # request b is of history b; else there may be any number of each


class _Head(nn.Module):
    """What both towers end in: taste over the temperature, and the prior's weight."""

    def __init__(self, n_inputs: int, *, embedding_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.mix = perceptron(n_inputs, hidden_dim, embedding_dim)
        self.prior_weight = perceptron(n_inputs, hidden_dim, 1, starts_at_zero=True)
        self.log_temperature = nn.Parameter(torch.zeros(()))

    @property
    def temperature(self) -> Tensor:
        return self.log_temperature.exp().clamp(min=SMALLEST_TEMPERATURE)

    def forward(self, state: Tensor, inputs: Tensor) -> Tensor:
        taste = functional.normalize(state + self.mix(inputs), dim=-1) / self.temperature
        return torch.cat([taste, 1.0 + self.prior_weight(inputs)], dim=-1)


class PooledQueryTower(nn.Module):
    """A history's recency-weighted mean and its last item, moved by window features.

    One request a history, after its last event that is not padding.
    """

    every_position = False

    def __init__(self, *, n_window_features: int, embedding_dim: int, hidden_dim: int) -> None:
        """The weight of the prior starts at 1, the temperature at 1, the half-life at 14 days."""
        super().__init__()
        n_inputs = 2 * embedding_dim + 1 + n_window_features
        self.head = _Head(n_inputs, embedding_dim=embedding_dim, hidden_dim=hidden_dim)
        self.log_half_life_days = nn.Parameter(torch.tensor(math.log(14.0)))

    @property
    def temperature(self) -> Tensor:
        """Unitless, never below 0.05."""
        return self.head.temperature

    def forward(self, events: Events, requests: Requests) -> Tensor:
        """(B, D + 1): request b is after the last event of history b."""
        layout = events.layout
        n_seen = layout.positions[requests.after] + 1  # (B,)
        encoded, age_s = layout.rectangle(events.encoded), layout.rectangle(events.age_s)
        places = torch.arange(encoded.shape[1], device=encoded.device)
        held = (places < n_seen[:, None]).to(encoded.dtype)  # (B, L)
        days = age_s / 86_400.0 / self.log_half_life_days.exp()
        weight = held * (torch.exp2(-days) + 1e-3)
        total = weight.sum(dim=1, keepdim=True).clamp(min=1e-6)
        mean = (encoded * (weight / total)[..., None]).sum(dim=1)
        length = torch.log1p(n_seen.to(encoded.dtype))[:, None]
        last = events.encoded[requests.after]
        inputs = torch.cat([mean, last, length, torch.log1p(requests.window)], dim=-1)
        return cast("Tensor", self.head(mean, inputs))


class SequenceQueryTower(nn.Module):
    """A causal encoder over the events, asked after any of them: one pass trains all positions.

    An event is its item, the time since the event before, and how much of the item was watched.
    """

    every_position = True

    def __init__(
        self, encoder: nn.Module, *, n_window_features: int, embedding_dim: int, hidden_dim: int
    ) -> None:
        """``encoder`` maps ``(events (T, D), layout, age_s (T,))`` to states (T, D), causally."""
        super().__init__()
        self.encoder = encoder
        self.scale = nn.RMSNorm(embedding_dim)
        self.about_event = nn.Linear(N_EVENT_FEATURES, embedding_dim, bias=False)
        n_inputs = 2 * embedding_dim + 2 + n_window_features
        self.head = _Head(n_inputs, embedding_dim=embedding_dim, hidden_dim=hidden_dim)

    @property
    def temperature(self) -> Tensor:
        """Unitless, never below 0.05."""
        return self.head.temperature

    def forward(self, events: Events, requests: Requests) -> Tensor:
        """(P, D + 1)."""
        inputs = self._inputs(events)
        if requests.one_each and hasattr(self.encoder, "after_each"):
            encoder: Any = self.encoder
            state = encoder.after_each(inputs, events.layout, requests.after)
        else:
            state = self.encoder(inputs, events.layout, events.age_s)[requests.after]
        last = events.encoded.index_select(0, requests.after)
        n_seen = events.layout.positions.index_select(0, requests.after) + 1
        times = torch.stack([n_seen.to(state.dtype), requests.gap_s / 3_600.0], dim=-1)
        known = torch.log1p(torch.cat([times, requests.window], dim=-1))
        return cast("Tensor", self.head(state, torch.cat([state, last, known], dim=-1)))

    def _inputs(self, events: Events) -> Tensor:
        """(T, D) items of unit size, moved by what else is known of the event."""
        before = torch.cat([events.age_s[:1], events.age_s[:-1]])
        gap_s = (before - events.age_s).clamp(min=0.0) * (events.layout.positions > 0)
        watched = events.watch_ratio.clamp(min=0.0)
        known = (events.watch_ratio >= 0).to(watched.dtype)
        features = torch.stack([torch.log1p(gap_s / 3_600.0), watched, known], dim=-1)
        return cast("Tensor", self.scale(events.encoded) + self.about_event(features))
