"""A gated recurrent unit over the history."""

from torch import Tensor, nn

from recbench.models.encoders.layout import Layout

__all__ = ["GRU"]


class GRU(nn.Module):
    """``torch.nn.GRU`` in the slot of encoders.

    Source: Hidasi et al., "Session-based recommendations with recurrent neural networks", ICLR
    2016.
    """

    def __init__(self, dim: int, *, n_layers: int = 1) -> None:
        """``dim`` is of events and states."""
        super().__init__()
        self.cells = nn.GRU(dim, dim, num_layers=n_layers, batch_first=True)

    def forward(self, events: Tensor, layout: Layout, age_s: Tensor) -> Tensor:
        """(T, D) events -> (T, D) states; ``age_s`` is not looked at."""
        states, _ = self.cells(layout.rectangle(events))
        return layout.flat(states)
