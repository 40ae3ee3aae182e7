"""A stack of DeepSeek-V2 layers, and the way of published weights into it."""

import re
from collections.abc import Iterator, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from recbench.errors import InputError
from recbench.models.deepseek.architecture import Architecture
from recbench.models.deepseek.attention import LatentAttention
from recbench.models.deepseek.experts import GatedPerceptron, MixtureOfExperts
from recbench.models.deepseek.rotary import rotations
from recbench.models.encoders.layout import Layout

__all__ = ["DeepSeekStack"]

OF_EXPERT = re.compile(r"(.*\.mlp\.experts)\.(\d+)\.(gate|up|down)_proj\.weight")


class DeepSeekStack(nn.Module):
    """Layers of latent attention and experts, each before a norm and around a residual."""

    def __init__(self, sizes: Architecture) -> None:
        """The first ``n_dense_layers`` have a plain gated perceptron for experts."""
        super().__init__()
        self.sizes = sizes
        self.layers = nn.ModuleList(
            _Layer(sizes, routed=number >= sizes.n_dense_layers) for number in range(sizes.n_layers)
        )
        self.norm = nn.RMSNorm(sizes.dim, eps=sizes.norm_eps)

    def forward(self, states: Tensor, layout: Layout) -> Tensor:
        """(T, D) -> (T, D), each from its own and earlier states of its sequence."""
        turns = rotations(layout.positions, self.sizes.rope_dim, theta=self.sizes.rope_theta)
        for layer in self.layers:
            states = layer(states, layout, turns)
        return cast("Tensor", self.norm(states))

    def mixtures(self) -> Iterator[MixtureOfExperts]:
        """The layers' mixtures of experts, in order."""
        for layer in self.layers:
            if isinstance(layer.mlp, MixtureOfExperts):
                yield layer.mlp

    def load_published(self, state: Mapping[str, Tensor]) -> None:
        """Take over the weights of a ``DeepseekV2Model`` or a checkpoint of it.

        Embeddings and a language model's head are left out; single experts are stacked.

        Raises:
            InputError: a weight is missing, unknown or of another shape.
        """
        own = {name.removeprefix("model."): tensor for name, tensor in state.items()}
        own = {name: t for name, t in own.items() if not name.startswith(("embed_", "lm_head"))}
        own |= {name: t for name, t in self.state_dict().items() if name.endswith("gate.bias")}
        try:
            self.load_state_dict(_stacked(own))
        except RuntimeError as error:
            raise InputError(f"These weights are of another architecture: {error}") from error


class _Layer(nn.Module):
    def __init__(self, sizes: Architecture, *, routed: bool) -> None:
        super().__init__()
        self.self_attn = LatentAttention(sizes)
        self.mlp = (
            MixtureOfExperts(sizes) if routed else GatedPerceptron(sizes.dim, sizes.dense_dim)
        )
        self.input_layernorm = nn.RMSNorm(sizes.dim, eps=sizes.norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(sizes.dim, eps=sizes.norm_eps)

    def forward(self, states: Tensor, layout: Layout, turns: tuple[Tensor, Tensor]) -> Tensor:
        states = states + self.self_attn(self.input_layernorm(states), layout, turns)
        return cast("Tensor", states + self.mlp(self.post_attention_layernorm(states)))


def _stacked(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Single experts' matrices as one tensor a projection."""
    found: dict[str, dict[int, dict[str, Tensor]]] = {}
    for name in [name for name in state if OF_EXPERT.fullmatch(name)]:
        prefix, number, kind = OF_EXPERT.fullmatch(name).groups()  # type: ignore[union-attr]  # just matched
        found.setdefault(prefix, {}).setdefault(int(number), {})[kind] = state.pop(name)
    for prefix, experts in found.items():
        by_number = [experts[number] for number in sorted(experts)]
        joined = [torch.cat([expert["gate"], expert["up"]]) for expert in by_number]
        state[f"{prefix}.gate_up_proj"] = torch.stack(joined)
        state[f"{prefix}.down_proj"] = torch.stack([expert["down"] for expert in by_number])
    return state
