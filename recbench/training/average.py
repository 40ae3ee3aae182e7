"""The moving average of a model's weights."""

import copy
from collections.abc import Collection

import torch
from torch import Tensor, nn

__all__ = ["WeightAverage"]


class WeightAverage(nn.Module):
    """Exponential moving average of the parameters, kept as buffers; it starts at the first update.

    Large tables are left out: their optimiser knows their average.
    """

    def __init__(
        self, model: nn.Module, *, decay: float, without: Collection[nn.Parameter]
    ) -> None:
        """``decay`` in [0, 1) per update; ``without``: parameters that are not averaged here."""
        super().__init__()
        self.decay = decay
        left_out = {id(parameter) for parameter in without}
        self._names = [n for n, p in model.named_parameters() if id(p) not in left_out]
        self.n_updates: Tensor
        self.register_buffer("n_updates", torch.zeros((), dtype=torch.int64))
        for name in self._names:
            weights = model.get_parameter(name).detach().clone()
            self.register_buffer(_buffer(name), weights)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move towards the model's weights; the first time: take them over."""
        share = 1.0 if self.n_updates == 0 else 1.0 - self.decay
        averages = [self.get_buffer(_buffer(name)) for name in self._names]
        weights = [model.get_parameter(name).detach() for name in self._names]
        torch._foreach_lerp_(averages, weights, share)
        self.n_updates += 1

    @torch.no_grad()
    def of(self, model: nn.Module, tables: dict[str, Tensor]) -> nn.Module:
        """A copy of the model with the averages, and ``tables`` for what was left out, by name."""
        averaged = copy.deepcopy(model)
        for name in self._names:
            averaged.get_parameter(name).copy_(self.get_buffer(_buffer(name)))
        for name, weights in tables.items():
            averaged.get_parameter(name).copy_(weights)
        return averaged


def _buffer(name: str) -> str:
    return name.replace(".", "/")
