"""What the kept lists are worth: every figure is computed from the files, as anybody else would."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.evaluation.clustered import clustered_draws, clustered_means
from recbench.evaluation.intervals import Interval
from recbench.evaluation.shapley import shapley_weights
from recbench.jobs.freshness.arms import DIALS, Arm, factorial
from recbench.jobs.freshness.store import Store
from recbench.refresh.cadence import Cadence

__all__ = ["Judge", "Metric", "Point"]

Metric = Literal["hit", "ndcg", "mrr", "within"]  # the last: NDCG among what was shown together
Point = tuple[str, Arm]  # a model and an arm
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Judge:
    """The requests, and at which rank each point of the curve had what was clicked."""

    store: Store
    points: tuple[Point, ...]

    @cached_property
    def asked(self) -> pl.DataFrame:
        """``event_id, user_id, item_id, ts``."""
        return pl.read_parquet(self.store.folder / "asked.parquet")

    @cached_property
    def users(self) -> Ints:
        """(R,) whose requests they are."""
        return self.asked[c.USER_ID].to_numpy()

    @property
    def has_shown(self) -> bool:
        """Whether anything is known of what was shown together."""
        return self.store.within(*self.points[0]).exists()

    def ranks(self, point: Point) -> Ints:
        """(R,) where in each list the clicked item stands; 0: nowhere."""
        if point not in self._ranks:
            self._ranks[point] = _ranks(self.asked, self.store.recs(*point)).fill_null(0).to_numpy()
        return self._ranks[point]

    def values(self, point: Point, metric: Metric) -> Floats:
        """(R,) a gain in [0, 1] for each request; NaN where the metric has nothing to say."""
        if metric not in get_args(Metric):
            raise InputError(f"`metric` must be one of {get_args(Metric)}, got {metric!r}")
        if metric == "within":
            shown = _ranks(self.asked, self.store.within(*point)).cast(pl.Float64)
            gains: Floats = 1 / np.log2(1 + shown.fill_null(float("nan")).to_numpy())
            return gains
        ranks = self.ranks(point)
        found = np.maximum(ranks, 1)
        each = {"hit": 1.0, "ndcg": 1 / np.log2(1 + found), "mrr": 1 / found}[metric]
        return np.where(ranks > 0, each, 0.0)

    def matrix(self, points: Sequence[Point], metric: Metric) -> tuple[Ints, Floats]:
        """(R',) users and (R', P) gains of the requests that the metric speaks of."""
        values = np.column_stack([self.values(point, metric) for point in points])
        told = ~np.isnan(values).any(axis=1)
        return self.users[told], values[told]

    def measured(
        self, points: Sequence[Point], metrics: Sequence[Metric], references: Sequence[Point] = ()
    ) -> tuple[dict[Metric, list[Interval]], list[list[Interval]]]:
        """Each metric of each point, and each point's NDCG less every reference's, by request.

        All columns of a kind share one draw of the resamples.
        """
        plain: list[Metric] = [metric for metric in metrics if metric != "within"]
        _, ndcg = self.matrix(points, "ndcg")
        columns = [self.matrix(points, metric)[1] for metric in plain]
        columns += [ndcg - self.values(reference, "ndcg")[:, None] for reference in references]
        found = clustered_means(self.users, np.concatenate(columns, axis=1))
        n = len(points)
        parts = [found[at : at + n] for at in range(0, len(found), n)]
        told: dict[Metric, list[Interval]] = dict(zip(plain, parts, strict=False))
        if "within" in metrics:
            told["within"] = clustered_means(*self.matrix(points, "within"))
        return told, parts[len(plain) :]

    def ratio_draws(self, points: Sequence[Point], metric: Metric) -> tuple[Floats, Floats]:
        """(P,) means and (resamples, P) means of resampled users, for figures of one's own."""
        users, values = self.matrix(points, metric)
        return values.mean(axis=0), clustered_draws(users, values)

    def shares(
        self, model: str, pair: tuple[Cadence, Cadence], metric: Metric, *, finest: Cadence
    ) -> pl.DataFrame:
        """``gain, dial, value, low, high, frac``: each dial's part; the last row is the whole."""
        coarse, fine = pair
        arms = factorial(coarse, fine, finest=finest)
        users, values = self.matrix([(model, arm) for arm in arms], metric)
        parts = values @ shapley_weights(len(DIALS))
        parts = np.column_stack([parts, values[:, -1] - values[:, 0]])
        found = clustered_means(users, parts)
        whole = found[-1].value
        return pl.DataFrame(
            [
                {
                    "gain": f"{coarse.name} to {fine}",
                    "dial": dial,
                    "value": part.value,
                    "low": part.low,
                    "high": part.high,
                    "frac": part.value / whole if whole else None,
                }
                for dial, part in zip([*DIALS, "all"], found, strict=True)
            ]
        )

    def over_time(
        self, points: Sequence[Point], reference: Point, metric: Metric, *, n_parts: int = 12
    ) -> pl.DataFrame:
        """Each point's mean, and its gain over the reference, in parts of equally many requests.

        ``begins, model, arm, value, low, high, gain, gain_low, gain_high, n_requests``.
        """
        rows = []
        for part in np.array_split(np.arange(len(self.asked)), min(n_parts, len(self.asked))):
            columns = [self.values(point, metric)[part] for point in [reference, *points]]
            values = np.column_stack(columns)
            told = ~np.isnan(values).any(axis=1)
            if not told.any():
                continue
            users, values = self.users[part][told], values[told]
            means = clustered_means(users, values[:, 1:], resamples=500)
            gains = clustered_means(users, values[:, 1:] - values[:, :1], resamples=500)
            for (model, arm), mean, gain in zip(points, means, gains, strict=True):
                row = {"begins": self.asked[c.TS][int(part[0])], "model": model, "arm": arm.name}
                row |= {"value": mean.value, "low": mean.low, "high": mean.high}
                row |= {"gain": gain.value, "gain_low": gain.low, "gain_high": gain.high}
                rows.append(row | {"n_requests": len(values)})
        return pl.DataFrame(rows)

    @cached_property
    def _ranks(self) -> dict[Point, Ints]:
        return {}


def _ranks(asked: pl.DataFrame, place: Path) -> pl.Series:
    """(R,) the rank of the clicked item in a file of lists; null where it is not in its list."""
    lists = pl.read_parquet(place, columns=[c.EVENT_ID, c.ITEM_ID, c.RANK])
    both = [c.EVENT_ID, c.ITEM_ID]
    return asked.select(both).join(lists, on=both, how="left", maintain_order="left")[c.RANK]
