"""A causal transformer over the history, after SASRec."""

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from recbench.errors import InputError
from recbench.models.encoders.layout import Layout

__all__ = ["Transformer"]

INITIAL_STD = 0.05


class Transformer(nn.Module):
    """Pre-norm attention blocks with learned positions.

    Attention is `scaled_dot_product_attention` with ``is_causal``: no matrix of L x L is kept.

    Source: Kang and McAuley, "Self-attentive sequential recommendation", ICDM 2018.
    """

    def __init__(
        self,
        dim: int,
        *,
        n_layers: int = 2,
        n_heads: int = 2,
        inner_dim: int | None = None,
        longest: int = 512,
    ) -> None:
        """``inner_dim``: of the perceptrons, 4 D by default; ``longest``: positions told apart.

        All positions after the longest share the last one's vector.

        Raises:
            InputError: ``dim`` is no multiple of ``n_heads``.
        """
        super().__init__()
        if dim % n_heads:
            raise InputError(f"`dim` must be a multiple of `n_heads`, got {dim} and {n_heads}")
        self.position = nn.Embedding(longest, dim)
        nn.init.normal_(self.position.weight, std=INITIAL_STD)
        self.blocks = nn.ModuleList(
            _Block(dim, n_heads, inner_dim or 4 * dim) for _ in range(n_layers)
        )
        self.norm = nn.RMSNorm(dim)

    def forward(self, events: Tensor, layout: Layout, age_s: Tensor) -> Tensor:
        """(T, D) events -> (T, D) states; ``age_s`` is not looked at."""
        states = self._placed(events, layout)
        for block in self.blocks:
            states = block(states, layout)
        return cast("Tensor", self.norm(states))

    def after_each(self, events: Tensor, layout: Layout, after: Tensor) -> Tensor:
        """The states (B, D) after one event (B,) of each sequence: the last block makes no other.

        Equal to ``forward`` at these events, to rounding.
        """
        *blocks, last = cast("list[_Block]", list(self.blocks))
        states = self._placed(events, layout)
        for block in blocks:
            states = block(states, layout)
        return cast("Tensor", self.norm(last.after_each(states, layout, after)))

    def _placed(self, events: Tensor, layout: Layout) -> Tensor:
        positions = layout.positions.clamp(max=self.position.num_embeddings - 1)
        return cast("Tensor", events + self.position(positions))


class _Block(nn.Module):
    def __init__(self, dim: int, n_heads: int, inner_dim: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.before_attention, self.before_mlp = nn.RMSNorm(dim), nn.RMSNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)
        self.mlp = nn.Sequential(nn.Linear(dim, inner_dim), nn.GELU(), nn.Linear(inner_dim, dim))

    def forward(self, states: Tensor, layout: Layout) -> Tensor:
        query, key, value = self._qkv(states, layout)
        mixed = _causal_attention(query, key, value)
        return self._moved(states, layout.flat(mixed.transpose(1, 2).flatten(2)))

    def after_each(self, states: Tensor, layout: Layout, after: Tensor) -> Tensor:
        """One query a sequence: keys and values need not be made.

        Their weights move over to the query and to what is mixed, as MLA absorbs them (DeepSeek-AI,
        "DeepSeek-V2", 2024, 2.1.2): q (W x) = (q W) x, and the mean of W x is W of the mean of x.
        """
        seen = self.before_attention(states)
        to_query, to_key, to_value = self.qkv.weight.chunk(3)  # (H d, D) each
        query = functional.linear(seen.index_select(0, after), to_query)
        asked = self._per_head(query, self._of_heads(to_key))  # (B, H, D)
        cells = layout.rectangle(seen)  # (B, L, D)
        place = layout.positions.index_select(0, after)[:, None, None]
        later = torch.arange(cells.shape[1], device=place.device) > place  # (B, 1, L)
        scores = asked @ cells.transpose(1, 2) / math.sqrt(states.shape[1] // self.n_heads)
        mean = scores.masked_fill(later, -math.inf).softmax(dim=-1) @ cells  # (B, H, D)
        mixed = self._per_head(mean, self._of_heads(to_value).transpose(1, 2))
        return self._moved(states.index_select(0, after), mixed.flatten(1))

    def _of_heads(self, weight: Tensor) -> Tensor:
        """(H d, D) -> (H, d, D)."""
        return weight.reshape(self.n_heads, -1, weight.shape[1])

    def _per_head(self, given: Tensor, weight: Tensor) -> Tensor:
        """(B, H n) or (B, H, n) through (H, n, m): (B, H, m)."""
        return (given.reshape(-1, self.n_heads, 1, weight.shape[1]) @ weight).squeeze(2)

    def _qkv(self, states: Tensor, layout: Layout) -> tuple[Tensor, Tensor, Tensor]:
        """(B, H, L, d) each."""
        parts = self.qkv(self.before_attention(states)).chunk(3, dim=-1)
        width = states.shape[1] // self.n_heads
        query, key, value = (
            layout.rectangle(part.reshape(-1, self.n_heads, width)).transpose(1, 2)
            for part in parts
        )
        return query, key, value

    def _moved(self, states: Tensor, mixed: Tensor) -> Tensor:
        states = states + self.out(mixed)
        return cast("Tensor", states + self.mlp(self.before_mlp(states)))


def _causal_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    if not torch.compiler.is_exporting():
        return functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    # the exporter would spend a third of the graph on shapes of the same
    places = torch.arange(query.shape[2], device=query.device)
    return _attention(query, key, value, places > places[:, None])


def _attention(query: Tensor, key: Tensor, value: Tensor, later: Tensor) -> Tensor:
    """(B, H, Q, d), (B, H, L, d) twice; ``later`` is true where a query must not look."""
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    return scores.masked_fill(later, -math.inf).softmax(dim=-1) @ value
