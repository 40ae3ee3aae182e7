"""A perceptron with one hidden layer."""

from torch import nn

__all__ = ["perceptron"]


def perceptron(
    n_in: int, hidden: int, n_out: int, *, starts_at_zero: bool = False
) -> nn.Sequential:
    """Linear, GELU, linear; ``starts_at_zero``: it gives 0 for everything until trained."""
    last = nn.Linear(hidden, n_out)
    if starts_at_zero:
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(n_in, hidden), nn.GELU(), last)
