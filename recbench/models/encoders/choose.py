"""The encoders by name."""

from collections.abc import Callable
from typing import Literal

from torch import nn

__all__ = ["SequenceEncoder", "new_encoder"]

SequenceEncoder = Literal["mean", "gru", "transformer", "hstu", "deepseek"]


def new_encoder(name: SequenceEncoder, dim: int, *, n_layers: int) -> nn.Module:
    """An untrained encoder of (T, ``dim``) events; its weights come from torch's generator."""
    from recbench.models.encoders.deepseek import DeepSeekEncoder
    from recbench.models.encoders.gru import GRU
    from recbench.models.encoders.hstu import HSTU
    from recbench.models.encoders.running_mean import RunningMean
    from recbench.models.encoders.transformer import Transformer

    makers: dict[SequenceEncoder, Callable[[], nn.Module]] = {
        "mean": RunningMean,
        "gru": lambda: GRU(dim, n_layers=n_layers),
        "transformer": lambda: Transformer(dim, n_layers=n_layers),
        "hstu": lambda: HSTU(dim, n_layers=n_layers),
        "deepseek": lambda: DeepSeekEncoder(dim, n_layers=n_layers),
    }
    return makers[name]()
