"""Towers for a catalogue that has grown: old rows stay where they are, new ones start informed."""

import copy
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor, nn

from recbench.models.content import ItemContent, TokenField
from recbench.models.two_tower import TwoTower
from recbench.training.moments import Moments, grown_moments

__all__ = ["grown_towers"]

ITEM_TABLE = "items.item.weight"
BUFFERS = ("category_rows", "title_rows", "text")


def grown_towers(
    towers: TwoTower, moments: Mapping[str, Tensor], content: ItemContent
) -> tuple[TwoTower, Moments]:
    """A copy of the towers with a row for every item of ``content``, and their moments.

    The id of a new item starts as the mean of the ids that share its content: those of its
    categories, else those of its title's words, else zero, so that nothing but content speaks.

    Args:
        towers: of a catalogue that ``content`` begins with.
        moments: of their optimiser; new rows start anew.
        content: of the grown catalogue, in the tokens that the towers know.
    """
    n_old, n_items = towers.items.item.num_embeddings, len(content.category.token_rows)
    if n_items == n_old:
        return copy.deepcopy(towers), dict(moments)
    grown = copy.deepcopy(towers)
    table = grown.items.item.weight.detach()
    new = _neighbours_mean(table.numpy(), content.category, n_old=n_old)
    alone = ~np.isfinite(new).any(axis=1)
    new[alone] = _neighbours_mean(table.numpy(), content.title, n_old=n_old)[alone]
    fresh = torch.from_numpy(np.nan_to_num(new))
    longer = nn.Embedding(n_items, table.shape[1], sparse=towers.items.item.sparse)
    longer.weight = nn.Parameter(torch.cat([table, fresh]))
    grown.items.item = longer
    for name, held in zip(BUFFERS, _buffers(content), strict=True):
        setattr(grown.items, name, held)
    return grown, grown_moments(moments, {ITEM_TABLE: n_items})


def _buffers(content: ItemContent) -> list[Tensor | None]:
    arrays = (content.category.token_rows, content.title.token_rows, content.text)
    return [None if array is None else torch.from_numpy(array) for array in arrays]


def _neighbours_mean(
    table: npt.NDArray[np.float32], field: TokenField, *, n_old: int
) -> npt.NDArray[np.float32]:
    """(n_new, D) mean over an item's tokens of the mean row of old items with it; NaN if none."""
    has = _incidence(field)  # (n_items, tokens)
    old, new = has[:n_old], has[n_old:]
    count = np.asarray(old.sum(axis=0)).ravel()
    of_token = (old.T @ table) / np.maximum(count, 1)[:, None]
    n_known = new @ (count > 0).astype(np.float32)
    with np.errstate(invalid="ignore"):
        mean: npt.NDArray[np.float32] = (new @ of_token) / n_known[:, None]
    return mean


def _incidence(field: TokenField) -> sparse.csr_matrix:
    """(n_items, tokens) 1 where the item has the token."""
    item, column = np.nonzero(field.token_rows)
    token = field.token_rows[item, column] - 1
    shape = (len(field.token_rows), len(field.tokens))
    return sparse.csr_matrix((np.ones(len(item), dtype=np.float32), (item, token)), shape=shape)
