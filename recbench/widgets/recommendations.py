"""Why a list is what it is, and what changes it: tables and a figure over one release's answer."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.index.exact import top_k
from recbench.widgets.asked import Asked
from recbench.widgets.style import COLOURS, legend_below, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["explained", "list_changes", "named", "score_figure"]

N_PRIOR = 2  # last dimensions of both embeddings: the learned prior, recency popularity itself
NEAREST = 3  # history items that speak for a candidate
LONGEST_NAME = 28  # characters of an item's name in a figure
SMALLEST = 1e-12
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


def explained(asked: Asked, *, k: int = 20) -> pl.DataFrame:
    """The list of k candidates that the request gets, best first, and what made each score.

    A query's scores mean something beside one another only, so both parts are told as what the
    candidate is ahead of the average one of the catalogue: ``taste`` is what the towers add by
    history and window features, ``prior`` what recency popularity does.

    Args:
        asked: the request.
        k: list length; shorter where the catalogue runs out.

    Returns:
        ``rank, item_id``, ``title`` where the release has titles, ``score``, ``taste``, ``prior``,
        ``prior share`` (of both parts' sizes, in [0, 1]), ``rank by prior`` (among all that may be
        shown; ties as lists break them), ``nearest`` (the item of the history whose embedding has
        the largest cosine with the candidate's, priors left out), its ``cosine``, and
        ``because of`` (the three nearest, as text).
    """
    model, query = asked.model, asked.query_embedding()
    seen = asked.queries.matrix().tocoo()
    excluded = None if model.repeats else (seen.row.astype(np.int64), seen.col.astype(np.int64))
    found, scores = model.index.search(query[None], k=k, excluded=excluded)
    rows = found[0][found[0] >= 0]
    candidates = model.contents.candidate_embeddings
    taste = candidates[:, :-N_PRIOR] @ query[:-N_PRIOR]
    prior = candidates[:, -N_PRIOR:] @ query[-N_PRIOR:]
    leads = np.stack([part[rows] - part.mean() for part in (taste, prior)]).astype(np.float64)
    sizes = np.abs(leads)
    titles = {c.TITLE: model.contents.item_features[c.TITLE].gather(rows)} if _titled(asked) else {}
    return pl.DataFrame(
        {
            c.RANK: np.arange(1, len(rows) + 1),
            c.ITEM_ID: model.items.ids[rows],
            **titles,
            c.SCORE: scores[0, : len(rows)].astype(np.float64),
            "taste": leads[0],
            "prior": leads[1],
            "prior share": sizes[1] / np.maximum(sizes.sum(axis=0), SMALLEST),
            "rank by prior": _ranks(asked, prior, excluded)[rows],
            **_nearest(asked, rows),
        }
    )


def list_changes(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """Both lists side by side: ``item_id``, its ranks, and ``change``; in the order of ``after``.

    Args:
        before: a list as ``explained`` gives it.
        after: another one; items that only ``before`` has come last.

    Returns:
        ``item_id``, ``title`` where there is one, ``rank before``, ``rank after`` (null where a
        list has no such item), and ``change``: ``new``, ``gone``, ``same``, ``up 2``, ``down 1``.
    """
    keys = [
        name for name in (c.ITEM_ID, c.TITLE) if name in before.columns and name in after.columns
    ]
    left, right = (
        frame.select(*keys, pl.col(c.RANK).alias(name))
        for frame, name in ((before, "rank before"), (after, "rank after"))
    )
    both = right.join(left, on=c.ITEM_ID, how="full", coalesce=True)
    if c.TITLE in keys:
        both = both.with_columns(pl.coalesce(c.TITLE, f"{c.TITLE}_right").alias(c.TITLE))
    moved = pl.col("rank before").cast(pl.Int64) - pl.col("rank after").cast(pl.Int64)
    change = (
        pl.when(pl.col("rank before").is_null())
        .then(pl.lit("new"))
        .when(pl.col("rank after").is_null())
        .then(pl.lit("gone"))
        .when(moved == 0)
        .then(pl.lit("same"))
        .when(moved > 0)
        .then(pl.format("up {}", moved))
        .otherwise(pl.format("down {}", -moved))
    )
    ordered = both.sort("rank after", "rank before", nulls_last=True)
    return ordered.select(*keys, "rank before", "rank after", change.alias("change"))


def score_figure(explanation: pl.DataFrame) -> "Figure":
    """What taste and prior add to each candidate of a list, beside the average candidate.

    Args:
        explanation: as ``explained`` gives.
    """
    n = len(explanation)
    alone = int((explanation["rank by prior"] <= n).sum())
    finding = f"Recency popularity alone would list {alone} of these {n}"
    figure, axes = new_figure(finding if n else "No candidate is left", height=1.6 + 0.26 * n)
    places = np.arange(n)
    for offset, (part, colour, label) in enumerate(
        (
            ("taste", COLOURS["model"], "taste: history and window features"),
            ("prior", COLOURS["reference"], "prior: recency popularity"),
        )
    ):
        at = places + 0.4 * offset - 0.2
        axes.barh(at, explanation[part].to_numpy(), height=0.38, color=colour, label=label)
    axes.axvline(0, color=COLOURS["other"], linewidth=0.8)
    axes.set_yticks(places, [f"{r}. {name}" for r, name in enumerate(named(explanation), start=1)])
    axes.invert_yaxis()
    axes.set_xlabel("ahead of the average candidate, logits")
    legend_below(figure, ncols=2)
    return figure


def named(items: pl.DataFrame) -> list[str]:
    """What people call each item: its id, and its title where there is one."""
    ids = items[c.ITEM_ID].to_list()
    titles = items[c.TITLE].to_list() if c.TITLE in items.columns else [None] * len(ids)
    return [
        f"{item_id} {title[:LONGEST_NAME]}" if title else str(item_id)
        for item_id, title in zip(ids, titles, strict=True)
    ]


def _ranks(asked: Asked, scores: Floats, excluded: tuple[Ints, Ints] | None) -> Ints:
    """(n_items,) the place of each item by these scores; what may not be shown comes last."""
    allowed = scores[None].copy()
    allowed[:, asked.model.contents.tombstones] = -np.inf
    order, _ = top_k(allowed, k=len(scores), excluded=excluded)
    shown = order[0][order[0] >= 0]
    ranks = np.full(len(scores), len(scores), dtype=np.int64)
    ranks[shown] = np.arange(1, len(shown) + 1)
    return ranks


def _nearest(asked: Asked, rows: Ints) -> dict[str, pl.Series]:
    """For each candidate the items of the history that are most alike, by cosine."""
    held = asked.history.item_rows[0]
    held = np.unique(held[held >= 0])
    embeddings = asked.model.contents.candidate_embeddings[:, :-N_PRIOR]
    unit = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), SMALLEST)
    # no matrix product: of a few rows it may raise a false alarm about invalid values
    cosines = np.einsum("kd,hd->kh", unit[rows], unit[held])
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :NEAREST]
    best = np.take_along_axis(cosines, order, axis=1)
    names = named(asked.model.contents.item_features[held])
    because = [
        ", ".join(f"{names[at]} ({cosine:.2f})" for at, cosine in zip(places, row, strict=True))
        for places, row in zip(order, best, strict=True)
    ]
    ids = asked.model.items.ids[held]
    first = [int(ids[places[0]]) if len(places) else None for places in order]
    largest = [float(row[0]) if len(row) else None for row in best]
    return {
        "nearest": pl.Series(first, dtype=pl.Int64),
        "cosine": pl.Series(largest, dtype=pl.Float64),
        "because of": pl.Series(because, dtype=pl.String),
    }


def _titled(asked: Asked) -> bool:
    return c.TITLE in asked.model.contents.item_features.columns
