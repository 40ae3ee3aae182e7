"""The mixture of experts: fine-grained routed ones, and shared ones that see every token."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from recbench.models.deepseek.architecture import Architecture
from recbench.models.deepseek.routing import Router, Routing

__all__ = ["GatedPerceptron", "MixtureOfExperts"]

INITIAL_STD = 0.02


class GatedPerceptron(nn.Module):
    """``down(silu(gate(x)) * up(x))``, after Shazeer, "GLU variants improve transformer", 2020."""

    def __init__(self, dim: int, inner_dim: int) -> None:
        """No biases."""
        super().__init__()
        self.gate_proj = nn.Linear(dim, inner_dim, bias=False)
        self.up_proj = nn.Linear(dim, inner_dim, bias=False)
        self.down_proj = nn.Linear(inner_dim, dim, bias=False)

    def forward(self, states: Tensor) -> Tensor:
        """(T, D) -> (T, D)."""
        answer: Tensor = self.down_proj(
            functional.silu(self.gate_proj(states)) * self.up_proj(states)
        )
        return answer


class MixtureOfExperts(nn.Module):
    """Every token goes to its K experts and to the shared ones; none is dropped.

    ``routing`` is that of the last forward pass. Weights are called as in transformers.

    Source: DeepSeek-V2, section 2.2.
    """

    def __init__(self, sizes: Architecture) -> None:
        """Routed experts' weights are one tensor a projection."""
        super().__init__()
        self.gate = Router(sizes)
        self.experts = _Experts(sizes)
        self.shared_experts = GatedPerceptron(sizes.dim, sizes.n_shared_experts * sizes.expert_dim)
        self.routing: Routing | None = None

    def forward(self, states: Tensor) -> Tensor:
        """(T, D) -> (T, D)."""
        routing: Routing = self.gate(states)
        self.routing = routing
        # an export holds no shapes that depend on values: there every expert sees every token
        answer = self.experts.dense if torch.compiler.is_exporting() else self.experts.sparse
        shared: Tensor = self.shared_experts(states)
        return shared + answer(states, routing)


class _Experts(nn.Module):
    def __init__(self, sizes: Architecture) -> None:
        super().__init__()
        n_experts, dim, inner = sizes.n_experts, sizes.dim, sizes.expert_dim
        self.gate_up_proj = nn.Parameter(torch.empty(n_experts, 2 * inner, dim))
        self.down_proj = nn.Parameter(torch.empty(n_experts, dim, inner))
        nn.init.normal_(self.gate_up_proj, std=INITIAL_STD)
        nn.init.normal_(self.down_proj, std=INITIAL_STD)

    def sparse(self, states: Tensor, routing: Routing) -> Tensor:
        """Tokens sorted by expert, one product an expert: only what is asked for is computed."""
        n_tokens, k = routing.experts.shape
        order = routing.experts.flatten().argsort(stable=True)  # (T * K,)
        load = torch.bincount(routing.experts.flatten(), minlength=len(self.down_proj))
        sorted_states = torch.split(states.index_select(0, order // k), load.tolist())
        answers = torch.cat(
            [self._answer(tokens, expert) for expert, tokens in enumerate(sorted_states)]
        )
        back = torch.empty_like(order).index_copy_(0, order, torch.arange(len(order)).to(order))
        answers = answers.index_select(0, back).reshape(n_tokens, k, states.shape[1])  # (T, K, D)
        weighted = answers * routing.weights[..., None].to(answers.dtype)
        return weighted.sum(dim=1)

    def _answer(self, tokens: Tensor, expert: int) -> Tensor:
        gate, up = functional.linear(tokens, self.gate_up_proj[expert]).chunk(2, dim=-1)
        return functional.linear(functional.silu(gate) * up, self.down_proj[expert])

    def dense(self, states: Tensor, routing: Routing) -> Tensor:
        """Every expert's answer to every token, the unchosen ones weighted 0."""
        weights = torch.zeros_like(routing.affinities).scatter(1, routing.experts, routing.weights)
        gate, up = (states @ self.gate_up_proj.transpose(1, 2)).chunk(2, dim=-1)  # (E, T, inner)
        answers = (functional.silu(gate) * up) @ self.down_proj.transpose(1, 2)  # (E, T, D)
        return (answers * weights.T[..., None].to(answers.dtype)).sum(dim=0)
