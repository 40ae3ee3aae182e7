"""Multi-head latent attention."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from recbench.models.deepseek.architecture import Architecture
from recbench.models.deepseek.rotary import rotated
from recbench.models.encoders.layout import Layout

__all__ = ["LatentAttention"]


class LatentAttention(nn.Module):
    """Keys and values come from one low-rank latent; positions go through a part of their own.

    Causal, over the sequences of a layout, without a matrix of L x L. Weights are called as in
    published checkpoints.

    Source: DeepSeek-AI, "DeepSeek-V2: a strong, economical, and efficient mixture-of-experts
    language model", 2024, section 2.1.
    """

    def __init__(self, sizes: Architecture) -> None:
        """No biases."""
        super().__init__()
        self.sizes = sizes
        self.key_dim = sizes.nope_dim + sizes.rope_dim
        queries = sizes.n_heads * self.key_dim
        if sizes.query_rank is None:
            self.q_proj = nn.Linear(sizes.dim, queries, bias=False)
        else:
            self.q_a_proj = nn.Linear(sizes.dim, sizes.query_rank, bias=False)
            self.q_a_layernorm = nn.RMSNorm(sizes.query_rank, eps=1e-6)
            self.q_b_proj = nn.Linear(sizes.query_rank, queries, bias=False)
        latent = sizes.key_value_rank + sizes.rope_dim
        self.kv_a_proj_with_mqa = nn.Linear(sizes.dim, latent, bias=False)
        self.kv_a_layernorm = nn.RMSNorm(sizes.key_value_rank, eps=1e-6)
        expanded = sizes.n_heads * (sizes.nope_dim + sizes.value_dim)
        self.kv_b_proj = nn.Linear(sizes.key_value_rank, expanded, bias=False)
        self.o_proj = nn.Linear(sizes.n_heads * sizes.value_dim, sizes.dim, bias=False)

    def forward(self, states: Tensor, layout: Layout, turns: tuple[Tensor, Tensor]) -> Tensor:
        """(T, D) -> (T, D); ``turns`` are the ``rotations`` of the layout's positions."""
        parts = torch.cat([*self._queries_and_keys(states, turns)], dim=-1)  # (T, H, 3 * width)
        heads = layout.rectangle(parts).transpose(1, 2)  # (B, H, L, 3 * width)
        queries, keys, values = heads.chunk(3, dim=-1)
        mixed = functional.scaled_dot_product_attention(
            queries, keys, values, is_causal=True, scale=self.key_dim**-0.5
        )
        mixed = layout.flat(mixed.transpose(1, 2))[..., : self.sizes.value_dim]
        projected: Tensor = self.o_proj(mixed.flatten(1))
        return projected

    def _queries_and_keys(
        self, states: Tensor, turns: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values (T, H, width), each filled up with zeros to one width.

        Zeros change no product, and the kernel that needs no L x L memory wants equal widths.
        """
        sizes = self.sizes
        if sizes.query_rank is None:
            queries = self.q_proj(states)
        else:
            queries = self.q_b_proj(self.q_a_layernorm(self.q_a_proj(states)))
        queries = queries.reshape(states.shape[0], sizes.n_heads, self.key_dim)
        query, query_turned = queries.split([sizes.nope_dim, sizes.rope_dim], dim=-1)
        latent, key_turned = self.kv_a_proj_with_mqa(states).split(
            [sizes.key_value_rank, sizes.rope_dim], dim=-1
        )
        expanded = self.kv_b_proj(self.kv_a_layernorm(latent))
        expanded = expanded.reshape(
            states.shape[0], sizes.n_heads, sizes.nope_dim + sizes.value_dim
        )
        key, values = expanded.split([sizes.nope_dim, sizes.value_dim], dim=-1)
        key_turned = rotated(key_turned[:, None, :], turns).expand(-1, sizes.n_heads, -1)
        width = max(self.key_dim, sizes.value_dim)
        return (
            _filled(torch.cat([query, rotated(query_turned, turns)], dim=-1), width),
            _filled(torch.cat([key, key_turned], dim=-1), width),
            _filled(values, width),
        )


def _filled(vectors: Tensor, width: int) -> Tensor:
    missing = width - vectors.shape[-1]
    return functional.pad(vectors, (0, missing)) if missing else vectors
