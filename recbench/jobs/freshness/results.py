"""The tables of an experiment, and the cadence that follows from them."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from recbench.jobs.freshness.arms import DIALS, release_arm, together
from recbench.jobs.freshness.experiment import Freshness
from recbench.jobs.freshness.judge import Judge, Metric, Point
from recbench.jobs.freshness.tracks import Track
from recbench.refresh.cadence import EVENT, NEVER

__all__ = ["OURS", "Recommended", "Results"]

OURS = "ours"
QUANTILES = (0.5, 0.9, 0.99, 1.0)  # of the lag
METRICS: tuple[Metric, ...] = ("hit", "ndcg", "mrr", "within")


@dataclass(frozen=True, slots=True)
class Recommended:
    """A cadence of releases, and why."""

    cadence: str
    reason: str


@dataclass(frozen=True)
class Results:
    """Of a finished experiment."""

    done: Freshness

    @cached_property
    def judge(self) -> Judge:
        """Of every model and arm."""
        plan = self.done.plan
        points = [(model, arm) for model in self.done.models for arm in plan.arms_of(model)]
        return Judge(self.done.store, tuple(points))

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Those that the log can tell."""
        return METRICS if self.judge.has_shown else METRICS[:-1]

    def tracks(self, point: Point) -> dict[str, Track]:
        """The releases behind each dial of a point."""
        model, arm = point
        shared = self.done.scene.tracks
        found = {dial: shared[dial, getattr(arm, dial)] for dial in DIALS if dial != "weights"}
        found["weights"] = self.done.weights(model, arm.weights)
        return {dial: found[dial] for dial in DIALS}

    def arms(self) -> pl.DataFrame:
        """One row a model and arm: quality, gain over nothing, cost, what cannot be shown yet.

        ``gain`` is in NDCG, paired by request, over the same model with nothing refreshed at all.
        """
        rows = []
        for model in self.done.models:
            points = [point for point in self.judge.points if point[0] == model]
            rows += self._rows(points, gain=(model, together(NEVER)))
        return pl.DataFrame(rows)

    def curve(self) -> pl.DataFrame:
        """Releases at each cadence, histories at every event: quality, cost, lag, by model.

        ``gain`` is in NDCG over the same model's ``never``, ``ahead`` is ours at the same cadence
        less this model, both paired by request.
        """
        rows = []
        for model in self.done.models:
            points = [(model, release_arm(cadence)) for cadence in self.done.plan.curve]
            found = self._rows(points, gain=points[0])
            for row, point in zip(found, points, strict=True):
                cadence, ours = point[1].weights, (OURS, point[1])
                ahead = self.judge.measured([ours], [], [point])[1][0][0]
                rows.append(
                    {"model": model, "cadence": cadence.name} | row | _bounds("ahead", ahead)
                )
        return pl.DataFrame(rows)

    def _rows(self, points: list[Point], *, gain: Point) -> list[dict[str, Any]]:
        """A row a point; ``gain`` is the reference of the column of that name."""
        told, (gains,) = self.judge.measured(points, self.metrics, [gain])
        rows = []
        for number, (model, arm) in enumerate(points):
            row: dict[str, Any] = {"model": model, "arm": arm.name}
            row |= {dial: str(getattr(arm, dial)) for dial in DIALS}
            for metric, means in told.items():
                row |= _bounds(self._label(metric), means[number])
            rows.append(row | _bounds("gain", gains[number]) | self._facts((model, arm)))
        return rows

    def shares(self, metric: Metric = "ndcg", *, model: str = OURS) -> pl.DataFrame:
        """Each dial's part of the gain, for every factorial of the plan."""
        finest = self.done.plan.timed[0]
        return pl.concat(
            [
                self.judge.shares(model, pair, metric, finest=finest)
                for pair in self.done.plan.factorials
            ]
        )

    def singles(self, *, model: str = OURS) -> pl.DataFrame:
        """``dial, cadence, value, low, high``: NDCG with one dial stale and the others fresh."""
        freshest = release_arm(self.done.plan.timed[0])
        turns = [
            (dial, cadence)
            for dial in DIALS
            for cadence in [*self.done.plan.curve, *([EVENT] if dial == DIALS[0] else [])]
        ]
        points = [(model, freshest.turned(dial, cadence)) for dial, cadence in turns]
        means = self.judge.measured(points, ["ndcg"])[0]["ndcg"]
        return pl.DataFrame(
            [
                {"dial": dial, "cadence": str(cadence)} | _bounds("ndcg", mean)
                for (dial, cadence), mean in zip(turns, means, strict=True)
            ]
        )

    def over_time(self, metric: Metric = "ndcg", *, n_parts: int = 12) -> pl.DataFrame:
        """Ours at each cadence of releases, over time, with its gain over ``never``."""
        points = [(OURS, release_arm(cadence)) for cadence in self.done.plan.curve]
        return self.judge.over_time(points, points[0], metric, n_parts=n_parts)

    def lags(self) -> pl.DataFrame:
        """How old what answered was, in seconds, by dial and cadence; weights by model."""
        rows = [
            self._lag_row("shared", dial, track)
            for (dial, _), track in sorted(self.done.scene.tracks.items())
        ]
        for model in self.done.models:
            for cadence in dict.fromkeys(arm.weights for arm in self.done.plan.arms_of(model)):
                rows.append(self._lag_row(model, "weights", self.done.weights(model, cadence)))
        return pl.DataFrame(rows)

    def recommended(self) -> Recommended:
        """The cheapest cadence of releases that loses no more than the plan's tolerance.

        It must be sustainable, and the interval of its loss, paired with the best sustainable one
        and relative to it, must lie within the tolerance or hold no loss at all: what nobody can
        tell from the best is not refreshed more often.
        """
        plan = self.done.plan
        able = [c for c in plan.curve if self._holds((OURS, release_arm(c)))]
        points = [(OURS, release_arm(cadence)) for cadence in able]
        means, drawn = self.judge.ratio_draws(points, "ndcg")
        best = int(np.argmax(means))
        lost = drawn / drawn[:, [best]] - 1
        worst, least = np.quantile(lost, [0.025, 0.975], axis=0)
        good = [i for i in range(len(able)) if worst[i] >= -plan.tolerance or least[i] >= 0]
        chosen = min(good, key=lambda i: (self._cost(points[i])["cpu_s"], i))
        loss = means[chosen] / means[best] - 1
        what = f"{1 - plan.tolerance:.0%} of the best NDCG@{plan.k}, that of {able[best].name}"
        surely = worst[chosen] >= -plan.tolerance
        kept = f"that surely keeps {what}" if surely else "that is not surely worse than the best"
        bounds = f"[{worst[chosen]:+.2%}, {least[chosen]:+.2%}]"
        reason = f"the cheapest {kept}: {loss:+.2%} {bounds}"
        return Recommended(able[chosen].name, reason)

    def gained(self) -> float:
        """What releases at the freshest cadence gain in NDCG over never, relative."""
        ends = [(OURS, release_arm(self.done.plan.curve[end])) for end in (0, -1)]
        never, fresh = (float(self.judge.values(end, "ndcg").mean()) for end in ends)
        return fresh / never - 1 if never else 0.0

    def printed(self, curve: pl.DataFrame) -> pl.DataFrame:
        """The curve for people: values with their bounds as one text, lags in seconds."""
        bounded = [name for name in curve.columns if f"{name}_low" in curve.columns]
        texts = [
            pl.format(
                "{} [{}, {}]", *(pl.col(f"{name}{end}").round(4) for end in ("", "_low", "_high"))
            ).alias(name)
            for name in bounded
        ]
        numbers = ["cpu_s", "joules", "lag_p50_s", "lag_p99_s", "made_s", "not_yet_servable"]
        facts = ["never_seen", "refreshes", "held", "empty", "sustainable", "ideal"]
        return curve.select("model", "cadence", *texts, *numbers, *facts)

    def _label(self, metric: Metric) -> str:
        return metric if metric == "within" else f"{metric}@{self.done.plan.k}"

    def _facts(self, point: Point) -> dict[str, Any]:
        tracks = self.tracks(point)
        index = tracks["index"].known_before(self.done.asked.ts)
        first = self.done.stream.first_known[self.done.asked.item_rows]
        lag_s = (self.done.asked.ts - tracks["weights"].known_before(self.done.asked.ts)) / 1e6
        return self._cost(point) | {
            "lag_p50_s": float(np.median(lag_s)),
            "lag_p99_s": float(np.quantile(lag_s, 0.99)),
            "not_yet_servable": float((first >= index).mean()),
            "never_seen": float((first >= self.done.asked.ts).mean()),
            "made_s": self._made_s(point),
            "refreshes": len(tracks["weights"].counted),
            "held": sum(release.held for release in tracks["weights"].counted),
            "empty": tracks["weights"].n_empty,
            "sustainable": self._holds(point),
            "ideal": point[1].is_ideal,
        }

    def _cost(self, point: Point) -> dict[str, float]:
        tracks = self.tracks(point).values()
        return {
            "cpu_s": sum(track.cpu_s for track in tracks),
            "joules": sum(track.joules for track in tracks),
        }

    def _holds(self, point: Point) -> bool:
        """Whether one machine makes all four parts faster than they are wanted."""
        return sum(track.busy_frac for track in self.tracks(point).values()) < 1.0

    def _made_s(self, point: Point) -> float:
        """Wall seconds of a whole release: every part learned, judged, written and published."""
        made = [[r.cost.wall_s for r in t.counted] for t in self.tracks(point).values()]
        return sum(float(np.mean(each)) for each in made if each)

    def _lag_row(self, owner: str, dial: str, track: Track) -> dict[str, Any]:
        asked = self.done.asked.ts
        lag_s = (asked - track.known_before(asked)) / 1e6
        row: dict[str, Any] = {"of": owner, "dial": dial, "cadence": str(track.cadence)}
        row |= {f"lag_p{100 * q:g}_s": float(np.quantile(lag_s, q)) for q in QUANTILES}
        made = track.counted
        return row | {
            "releases": len(made),
            "held": sum(r.held for r in made),
            "empty": track.n_empty,
            "made_s": float(np.mean([r.cost.wall_s for r in made])) if made else 0.0,
            "waited_s": max((r.waited_s for r in made), default=0.0),
            "busy_frac": track.busy_frac,
            "sustainable": track.is_sustainable,
        }


def _bounds(name: str, interval: Any) -> dict[str, float]:
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
