"""What a contest found, as frames that several cuts and seeds can be pooled of."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import polars as pl

from recbench import columns as c
from recbench.benchmarks.quality.contest import REQUEST, Contest, Entry
from recbench.evaluation.exam import Exam
from recbench.evaluation.exposure import exposure_gini
from recbench.evaluation.ranking import evaluate
from recbench.evaluation.recommender import recommend
from recbench.evaluation.tail import (
    exposure_by_decile,
    popularity_deciles,
    tail_exposure,
    tail_recall,
    with_tail_share,
)
from recbench.files import whole_file
from recbench.models.expert_routing import has_experts, routing_by_decile

__all__ = ["SHARES", "Outcome"]

SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)  # of the list that must be of the tail
ROUTING = {
    "layer": pl.Int64(),
    "decile": pl.Int64(),
    "expert": pl.Int64(),
    "n_choices": pl.Int64(),
    "share": pl.Float64(),
    "model": pl.String(),
    "cut": pl.Int32(),
    "seed": pl.Int32(),
}
LONGER = 10  # times k: what a list is taken from that must hold some of the tail


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """Frames with ``model``, ``cut`` and ``seed``."""

    # request, user_id, every metric, tail_exposure, tail_recall (null: nothing wanted there)
    judged: pl.DataFrame
    costs: pl.DataFrame  # cpu_s, joules, peak_mb, examples_per_s, p50_ms, p99_ms, dials
    exposure: pl.DataFrame  # decile, exposure_frac, gini
    price: pl.DataFrame  # share, request, user_id, value: NDCG with so much of the tail
    routing: pl.DataFrame  # layer, decile, expert, n_choices, share; of models with experts

    @classmethod
    def of(cls, contest: Contest, entries: Sequence[Entry], *, cut: int) -> Self:
        """From what was judged at one cut; the price of the tail is that of the last entry."""
        exam = contest.exam()
        past = contest.cut.past(contest.data.events)
        deciles = popularity_deciles(past, exam.queries.items)
        judged, costs, exposure, routing = [], [], [], [pl.DataFrame(schema=ROUTING)]
        for entry in entries:
            seed = int(entry.dials.get("seed", contest.seed))
            mark = {"model": entry.name, "cut": cut, "seed": seed}
            columns = [pl.lit(value).alias(name) for name, value in mark.items()]
            lists = recommend(entry.model, exam.queries, k=exam.k, repeats=exam.repeats)
            frame = entry.by_request
            for found in (tail_exposure(lists, deciles), tail_recall(lists, exam.test, deciles)):
                named = found.rename({c.USER_ID: REQUEST})
                frame = frame.join(named, on=REQUEST, how="left", maintain_order="left")
            judged.append(frame.with_columns(columns))
            figures = entry.costs | {"validation": entry.validation}
            row = pl.DataFrame([figures], schema=dict.fromkeys(figures, pl.Float64()))
            costs.append(row.with_columns(*columns, pl.lit(json.dumps(entry.dials)).alias("dials")))
            gini = pl.lit(exposure_gini(lists, n_items=len(exam.queries.items))).alias("gini")
            exposure.append(exposure_by_decile(lists, deciles).with_columns(*columns, gini))
            if has_experts(entry.model):
                ways = routing_by_decile(entry.model, exam.queries, deciles)
                routing.append(ways.with_columns(columns))
        price = _price(exam, entries[-1], deciles).with_columns(pl.lit(cut).alias("cut"))
        parts = (judged, costs, exposure, routing)
        frames = [pl.concat(part, how="diagonal_relaxed") for part in parts]
        return cls(frames[0], frames[1], frames[2], price, frames[3])

    def write(self, folder: Path) -> None:
        """A Parquet file a frame, in a folder that need not be there."""
        folder.mkdir(parents=True, exist_ok=True)
        for part in fields(self):
            with whole_file(folder / f"{part.name}.parquet") as draft:
                getattr(self, part.name).write_parquet(draft)

    @classmethod
    def read(cls, folders: Iterable[Path]) -> Self:
        """What was written at several cuts, together."""
        places = list(folders)
        return cls(
            *(
                pl.concat(
                    [pl.read_parquet(place / f"{part.name}.parquet") for place in places],
                    how="diagonal_relaxed",
                )
                for part in fields(cls)
            )
        )


def _price(exam: Exam, entry: Entry, deciles: pl.DataFrame) -> pl.DataFrame:
    """``share, request, user_id, value, tail_recall`` of lists that must hold some of the tail."""
    longer = recommend(entry.model, exam.queries, k=LONGER * exam.k, repeats=exam.repeats)
    owners = entry.by_request.select(REQUEST, c.USER_ID)
    frames = []
    for share in SHARES:
        lists = with_tail_share(longer, deciles, share=share, k=exam.k)
        graded = evaluate(
            lists, train=exam.train, test=exam.test, repeats=exam.repeats, k=exam.k, resamples=0
        )
        value = pl.col(f"ndcg@{exam.k}").alias("value")
        judged = graded.by_user.select(pl.col(c.USER_ID).alias(REQUEST), value)
        found = tail_recall(lists, exam.test, deciles).rename({c.USER_ID: REQUEST})
        joined = judged.join(owners, on=REQUEST).join(found, on=REQUEST, how="left")
        frames.append(joined.with_columns(pl.lit(share).alias("share")))
    return pl.concat(frames)
