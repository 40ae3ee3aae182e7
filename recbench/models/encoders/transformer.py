"""A causal transformer over the history, after SASRec."""

from typing import cast

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
        positions = layout.positions.clamp(max=self.position.num_embeddings - 1)
        states = events + self.position(positions)
        for block in self.blocks:
            states = block(states, layout)
        return cast("Tensor", self.norm(states))


class _Block(nn.Module):
    def __init__(self, dim: int, n_heads: int, inner_dim: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.before_attention, self.before_mlp = nn.RMSNorm(dim), nn.RMSNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)
        self.mlp = nn.Sequential(nn.Linear(dim, inner_dim), nn.GELU(), nn.Linear(inner_dim, dim))

    def forward(self, states: Tensor, layout: Layout) -> Tensor:
        qkv = self.qkv(self.before_attention(states)).reshape(
            states.shape[0], 3, self.n_heads, states.shape[1] // self.n_heads
        )
        query, key, value = layout.rectangle(qkv).permute(2, 0, 3, 1, 4).unbind(0)  # (B, H, L, d)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        states = states + self.out(layout.flat(mixed.transpose(1, 2).flatten(2)))
        return cast("Tensor", states + self.mlp(self.before_mlp(states)))
