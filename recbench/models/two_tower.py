"""The two towers as plain modules: cosine over temperature, plus a learned recency prior.

score(q, c) = cos(q, c) / temperature + prior_weight(q) * prior(c). The prior is one more
dimension of both embeddings, so retrieval stays one inner product. It starts as the logarithm of
the item's recency popularity: before its first step the model ranks as that baseline does.
"""

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from recbench.models.content import ItemContent

__all__ = ["CandidateTower", "ItemEncoder", "QueryTower", "TwoTower"]

INITIAL_STD = 0.05
SMALLEST_TEMPERATURE = 0.05


class ItemEncoder(nn.Module):
    """What an item is: its id, its categories, the words of its title. Both towers use it."""

    def __init__(self, n_items: int, content: ItemContent, *, embedding_dim: int) -> None:
        """Tables for ids and tokens; the id's row may be dropped, then content alone speaks."""
        super().__init__()
        self.item = _table(n_items, embedding_dim)
        self.category = _table(len(content.category.tokens) + 1, embedding_dim)
        self.title = _table(len(content.title.tokens) + 1, embedding_dim)
        self.category_rows: Tensor
        self.title_rows: Tensor
        self.register_buffer("category_rows", torch.from_numpy(content.category.token_rows))
        self.register_buffer("title_rows", torch.from_numpy(content.title.token_rows))

    def forward(self, item_rows: Tensor, id_kept: Tensor | None = None) -> Tensor:
        """(N,) item rows -> (N, D); ``id_kept`` (N, 1) of 0 and 1 drops ids in training."""
        own = self.item(item_rows)
        if id_kept is not None:
            own = own * id_kept
        category = _mean_of_tokens(self.category, self.category_rows[item_rows])
        return cast(
            "Tensor", own + category + _mean_of_tokens(self.title, self.title_rows[item_rows])
        )


class CandidateTower(nn.Module):
    """A candidate as of an instant: its encoding moved by its features, and its prior."""

    def __init__(self, *, n_features: int, embedding_dim: int, hidden_dim: int) -> None:
        """The prior's correction starts at zero."""
        super().__init__()
        self.shift = _perceptron(n_features, hidden_dim, embedding_dim)
        self.prior = _perceptron(n_features, hidden_dim, 1, starts_at_zero=True)

    def forward(self, encoded: Tensor, features: Tensor, log_prior: Tensor) -> Tensor:
        """(C, D), (C, F), (C,) -> (C, D + 1): unit vectors, then the prior."""
        taste = functional.normalize(encoded + self.shift(features), dim=-1)
        prior = log_prior[:, None] + self.prior(features)
        return torch.cat([taste, prior], dim=-1)


class QueryTower(nn.Module):
    """A history: its recency-weighted mean and its last item, moved by window features."""

    def __init__(self, *, n_window_features: int, embedding_dim: int, hidden_dim: int) -> None:
        """The weight of the prior starts at 1, the temperature at 1, the half-life at 14 days."""
        super().__init__()
        n_inputs = 2 * embedding_dim + 1 + n_window_features
        self.mix = _perceptron(n_inputs, hidden_dim, embedding_dim)
        self.prior_weight = _perceptron(n_inputs, hidden_dim, 1, starts_at_zero=True)
        self.log_temperature = nn.Parameter(torch.zeros(()))
        self.log_half_life_days = nn.Parameter(torch.tensor(math.log(14.0)))

    @property
    def temperature(self) -> Tensor:
        """Unitless, never below 0.05."""
        return self.log_temperature.exp().clamp(min=SMALLEST_TEMPERATURE)

    def forward(self, encoded: Tensor, held: Tensor, age_s: Tensor, window: Tensor) -> Tensor:
        """Query embeddings (B, D + 1): unit vectors over the temperature, then the prior's weight.

        Args:
            encoded: (B, L, D) items of the history, most recent last; anything where padded.
            held: (B, L) float, 1 where there is an event.
            age_s: (B, L) seconds from event to request.
            window: (B, W) raw window features, not negative.
        """
        days = age_s / 86_400.0 / self.log_half_life_days.exp()
        weight = held * (torch.exp2(-days) + 1e-3)  # (B, L)
        encoded = encoded * held[..., None]
        total = weight.sum(dim=1, keepdim=True).clamp(min=1e-6)
        mean = (encoded * weight[..., None]).sum(dim=1) / total
        length = torch.log1p(held.sum(dim=1, keepdim=True))
        state = torch.cat([mean, encoded[:, -1], length, torch.log1p(window)], dim=-1)
        taste = functional.normalize(mean + self.mix(state), dim=-1) / self.temperature
        return torch.cat([taste, 1.0 + self.prior_weight(state)], dim=-1)


class TwoTower(nn.Module):
    """Query tower and candidate tower over one item encoder."""

    def __init__(
        self,
        n_items: int,
        content: ItemContent,
        *,
        n_features: int,
        n_window_features: int,
        embedding_dim: int = 64,
        hidden_dim: int = 64,
    ) -> None:
        """Sizes only; see the towers."""
        super().__init__()
        self.items = ItemEncoder(n_items, content, embedding_dim=embedding_dim)
        self.candidates = CandidateTower(
            n_features=n_features, embedding_dim=embedding_dim, hidden_dim=hidden_dim
        )
        self.queries = QueryTower(
            n_window_features=n_window_features, embedding_dim=embedding_dim, hidden_dim=hidden_dim
        )


def _table(n_rows: int, dim: int) -> nn.Embedding:
    table = nn.Embedding(n_rows, dim)
    nn.init.normal_(table.weight, std=INITIAL_STD)
    return table


def _perceptron(
    n_in: int, hidden: int, n_out: int, *, starts_at_zero: bool = False
) -> nn.Sequential:
    last = nn.Linear(hidden, n_out)
    if starts_at_zero:
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(n_in, hidden), nn.GELU(), last)


def _mean_of_tokens(table: nn.Embedding, token_rows: Tensor) -> Tensor:
    """(N, W) token rows, 0 for none -> (N, D)."""
    held = (token_rows > 0).to(table.weight.dtype)[..., None]
    mean = (table(token_rows) * held).sum(dim=1) / held.sum(dim=1).clamp(min=1.0)
    return cast("Tensor", mean)
