"""The mean of what has been: the plainest state of a history."""

import torch
from torch import Tensor, nn

from recbench.models.encoders.layout import Layout

__all__ = ["RunningMean"]


class RunningMean(nn.Module):
    """The state after an event is the mean of it and all before it; nothing is learned."""

    def forward(self, events: Tensor, layout: Layout, age_s: Tensor) -> Tensor:
        """(T, D) events -> (T, D) states; ``age_s`` is not looked at."""
        cells = layout.rectangle(events)  # (B, L, D)
        counts = torch.arange(1, cells.shape[1] + 1, device=cells.device, dtype=cells.dtype)
        return layout.flat(cells.cumsum(dim=1) / counts[:, None])
