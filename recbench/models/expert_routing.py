"""Which experts the events of histories go to, by how much their items are clicked."""

from typing import TypeGuard

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from recbench import columns as c
from recbench.errors import InputError
from recbench.models.encoders.deepseek import DeepSeekEncoder
from recbench.models.frozen import TwoTowerRecommender
from recbench.tables.queries import Queries

__all__ = ["has_experts", "routing_apart", "routing_by_decile"]

DECILE = "decile"
N_DECILES = 10
QUERIES_AT_ONCE = 256


def has_experts(model: object) -> TypeGuard[TwoTowerRecommender]:
    """Whether these are two towers whose query tower has experts."""
    if not isinstance(model, TwoTowerRecommender):
        return False
    return isinstance(getattr(model.query_tower.tower, "encoder", None), DeepSeekEncoder)


def routing_by_decile(
    model: TwoTowerRecommender, queries: Queries, deciles: pl.DataFrame
) -> pl.DataFrame:
    """``layer, decile, expert, n_choices, share``: of a decile's choices, what each expert has.

    An event makes as many choices a layer as experts are asked for a token. Layers and experts
    count from 0, layers without experts are left out.

    Args:
        model: two towers whose query tower has experts.
        queries: whose histories are looked at, as far as the tower sees them.
        deciles: ``item_id, decile`` of `recbench.evaluation.tail.popularity_deciles`.

    Raises:
        InputError: the query tower has no experts, or no history has an event.
    """
    encoder = getattr(model.query_tower.tower, "encoder", None)
    if not isinstance(encoder, DeepSeekEncoder):
        raise InputError(
            f"The query tower has no experts, but {type(encoder).__name__}: train it with "
            "`encoder='deepseek'`"
        )
    of_item = np.zeros(len(model.items), dtype=np.int64)
    of_item[model.items.rows(deciles[c.ITEM_ID])] = deciles[DECILE].to_numpy()
    counts: dict[int, npt.NDArray[np.int64]] = {}
    for start in range(0, len(queries), QUERIES_AT_ONCE):
        part = queries.take(slice(start, start + QUERIES_AT_ONCE))
        rows, held = _in_order_of_tokens(model, part)
        for layer, mixture in enumerate(encoder.stack.mixtures()):
            assert mixture.routing is not None
            n_experts = mixture.routing.affinities.shape[1]
            experts = mixture.routing.experts.numpy()[held]  # (E, K)
            cells = of_item[rows[held]][:, None] * n_experts + experts
            found = np.bincount(cells.ravel(), minlength=(N_DECILES + 1) * n_experts)
            counts[layer] = counts.get(layer, 0) + found.reshape(N_DECILES + 1, n_experts)
    if not counts or not sum(int(found.sum()) for found in counts.values()):
        raise InputError(f"The histories of {len(queries)} queries hold no event to route")
    return pl.concat(_frame(layer, found[1:]) for layer, found in counts.items())


def routing_apart(routing: pl.DataFrame) -> pl.DataFrame:
    """``layer, apart``: of the tail's choices, the share that other items' events would not make.

    Half the summed difference of the shares of experts, 0 where both halves of the catalogue go the
    same ways, 1 where they share no expert.

    Args:
        routing: of ``routing_by_decile``.
    """
    in_tail = pl.col(DECILE) <= N_DECILES // 2
    halves = routing.group_by("layer", "expert", in_tail.alias("tail")).agg(
        pl.col("n_choices").sum()
    )
    share = pl.col("n_choices") / pl.col("n_choices").sum().over("layer", "tail").clip(1)
    signed = share * pl.when("tail").then(1.0).otherwise(-1.0)
    gap = halves.with_columns(signed.alias("gap")).group_by("layer", "expert").agg(pl.sum("gap"))
    return gap.group_by("layer").agg((pl.col("gap").abs().sum() / 2).alias("apart")).sort("layer")


@torch.no_grad()
def _in_order_of_tokens(
    model: TwoTowerRecommender, queries: Queries
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """(B * L,) item rows as the encoder has just seen them, and which of them are no padding."""
    inputs = model.inputs(queries)
    model.query_tower(*(torch.from_numpy(array) for array in inputs))
    padded = inputs[0].astype(np.int64)  # (B, L), padded on the left
    held = padded >= 0
    # the tower moves the padding to the right
    order = np.argsort(~held, axis=1, kind="stable")
    rows = np.take_along_axis(padded, order, axis=1).ravel()
    return rows, np.take_along_axis(held, order, axis=1).ravel()


def _frame(layer: int, counts: npt.NDArray[np.int64]) -> pl.DataFrame:
    n_deciles, n_experts = counts.shape
    decile, expert = np.indices(counts.shape)
    total = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return pl.DataFrame(
        {
            "layer": np.full(n_deciles * n_experts, layer),
            DECILE: decile.ravel() + 1,
            "expert": expert.ravel(),
            "n_choices": counts.ravel(),
            "share": (counts / total).ravel(),
        }
    )
