"""An optimiser's moments by name of parameter, so that training can go on in another process.

``mean/NAME`` and ``square/NAME`` have the parameter's shape; ``steps/NAME`` is a number, or one a
row where rows count for themselves.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from recbench.training.row_adam import RowAdam

__all__ = ["Moments", "grown_moments", "moments_of", "resume"]

Moments = dict[str, Tensor]
PARTS = ("mean", "square", "steps")
ADAMW = ("exp_avg", "exp_avg_sq", "step")
BY_ROW = ("mean", "square", "count")


def moments_of(model: nn.Module, optimizers: list[torch.optim.Optimizer]) -> Moments:
    """What AdamW and `RowAdam` know of the model's parameters; copies."""
    held = {p: state for optimizer in optimizers for p, state in optimizer.state.items()}
    moments = {}
    for name, parameter in model.named_parameters():
        if not (state := held.get(parameter)):
            continue
        found = [state[key] for key in (BY_ROW if "count" in state else ADAMW)]
        for part, value in zip(PARTS, found, strict=True):
            moments[f"{part}/{name}"] = value.detach().cpu().clone()
    return moments


def resume(
    optimizer: torch.optim.Optimizer, model: nn.Module, moments: Mapping[str, Tensor]
) -> None:
    """Give AdamW or `RowAdam` what was known of its parameters; others start anew.

    Moments of AdamW serve `RowAdam`, too: every row then counts the steps of all.
    """
    names = {parameter: name for name, parameter in model.named_parameters()}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            name = names[parameter]
            if f"mean/{name}" not in moments:
                continue
            mean, square, steps = (moments[f"{part}/{name}"].clone() for part in PARTS)
            if isinstance(optimizer, RowAdam):
                optimizer.resume(parameter, mean=mean, square=square, count=steps)
            else:
                state = dict(zip(ADAMW, (mean, square, steps), strict=True))
                optimizer.state[parameter] = state


def grown_moments(moments: Mapping[str, Tensor], n_rows: Mapping[str, int]) -> Moments:
    """The moments with zeros for rows that parameters have gained.

    Args:
        moments: as they were.
        n_rows: by name of a parameter that grew, how many rows it has now.
    """
    grown = dict(moments)
    for name, n in n_rows.items():
        for part in PARTS:
            held = moments.get(f"{part}/{name}")
            if held is not None and held.ndim:
                fresh = held.new_zeros((n - len(held), *held.shape[1:]))
                grown[f"{part}/{name}"] = torch.cat([held, fresh])
    return grown
