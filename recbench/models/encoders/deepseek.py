"""DeepSeek-V2 layers over the history."""

import torch
from torch import Tensor, nn

from recbench.models.deepseek import Architecture, DeepSeekStack
from recbench.models.deepseek.balance import balance_figures, balance_loss, expert_load
from recbench.models.deepseek.routing import Routing
from recbench.models.encoders.layout import Layout

__all__ = ["DeepSeekEncoder"]

BIAS_RATE = 1e-3


class DeepSeekEncoder(nn.Module):
    """Latent attention and a mixture of experts in the slot of encoders.

    After a step the trainer calls ``after_step``: each expert's selection bias moves against its
    load. The auxiliary losses are there beside it, off unless weighted.
    """

    def __init__(
        self,
        dim: int,
        *,
        n_layers: int = 2,
        n_heads: int = 2,
        n_experts: int = 8,
        experts_per_token: int = 2,
        n_groups: int = 1,
        balance_weights: tuple[float, float, float] = (0.0, 0.0, 0.0),
    ) -> None:
        """``balance_weights`` are of the losses over experts, devices and sequences.

        Raises:
            InputError: sizes that do not fit into each other.
        """
        super().__init__()
        sizes = Architecture.small(
            dim,
            n_layers=n_layers,
            n_heads=n_heads,
            n_experts=n_experts,
            experts_per_token=experts_per_token,
            n_groups=n_groups,
        )
        self.stack = DeepSeekStack(sizes)
        self.balance_weights = balance_weights
        self._sequences: Tensor | None = None  # (T,) of the last forward pass

    def forward(self, events: Tensor, layout: Layout, age_s: Tensor) -> Tensor:
        """(T, D) events -> (T, D) states; ``age_s`` is not looked at."""
        self._sequences = layout.sequences
        states: Tensor = self.stack(events, layout)
        return states

    def auxiliary_loss(self) -> Tensor | None:
        """The weighted balance losses of the last forward pass; None where all weigh nothing."""
        if not any(self.balance_weights) or self._sequences is None:
            return None
        expert, device, sequence = self.balance_weights
        losses = [
            balance_loss(
                mixture.routing,
                self._sequences,
                n_groups=self.stack.sizes.n_groups,
                expert=expert,
                device=device,
                sequence=sequence,
            )
            for mixture in self.stack.mixtures()
            if mixture.routing is not None
        ]
        return torch.stack(losses).sum()

    def after_step(self) -> None:
        """Move each router's bias against the load of the last forward pass."""
        for mixture in self.stack.mixtures():
            if mixture.routing is not None:
                load = expert_load(mixture.routing).float()
                mixture.gate.adjust_bias(load, rate=BIAS_RATE)
                # what is left of the pass is for figures: copies of the model need no graph
                mixture.routing = Routing(*(part.detach() for part in mixture.routing))

    def balance_figures(self) -> dict[str, float]:
        """Of the last forward pass, the mean over layers: 1 is even; see `balance`."""
        figures = [
            balance_figures(mixture.routing, self._sequences, n_groups=self.stack.sizes.n_groups)
            for mixture in self.stack.mixtures()
            if mixture.routing is not None and self._sequences is not None
        ]
        return {
            name: sum(figure[name] for figure in figures) / len(figures)
            for name in (figures[0] if figures else ())
        }
