"""Softmax over the whole catalogue, without the scores of all queries at once."""

import torch
from torch import Tensor
from torch.nn import functional

from recbench.errors import InputError

__all__ = ["full_softmax_loss"]

# Rows of scores made at once. Torch's own choice ("auto") shrinks with the catalogue, down to a few
# rows, where the product of matrices is no longer fast.
CHUNK_QUERIES = 128


def full_softmax_loss(queries: Tensor, candidates: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of each query's target among all items.

    The scores of `CHUNK_QUERIES` queries are made, turned into gradients in the same pass, and
    forgotten: memory grows with Q + V, not with Q x V, and nothing is computed twice. So only one
    backward pass is possible, and no second derivative.

    Args:
        queries: (Q, D), already over the temperature.
        candidates: (V, D) every item of the catalogue, in order of `item_row`.
        targets: (Q,) int64 item rows.

    Raises:
        InputError: the shapes do not belong together, or a target is not a row of ``candidates``.

    Source: the gradient in the forward pass as in Hsu et al., "Liger kernel", 2024.
    """
    if queries.shape[1:] != candidates.shape[1:] or targets.shape != queries.shape[:1]:
        raise InputError(
            "`queries` must be (Q, D), `candidates` (V, D) and `targets` (Q,); got "
            f"{tuple(queries.shape)}, {tuple(candidates.shape)} and {tuple(targets.shape)}"
        )
    low, high = (int(bound) for bound in targets.aminmax())
    if low < 0 or high >= len(candidates):
        raise InputError(
            f"`targets` must be item rows from 0 to {len(candidates) - 1}; got {low} to {high}"
        )
    options = torch.nn.LinearCrossEntropyOptions(
        batch_chunk_size=CHUNK_QUERIES, chunking_method=None
    )
    return functional.linear_cross_entropy(queries, candidates, targets, options=options)
