"""Refreshes that will not pay are skipped: a forecast, learned before the test and judged on it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench.jobs.freshness.arms import Arm, release_arm
from recbench.jobs.freshness.experiment import Freshness
from recbench.jobs.freshness.judge import Judge
from recbench.jobs.freshness.lists import Shelf
from recbench.jobs.freshness.tracks import Track, made_over
from recbench.jobs.freshness.walk import (
    Learner,
    Scene,
    best_list,
    histories_of,
    seen_of,
    walk,
    with_ends,
)
from recbench.refresh.cadence import NEVER, Cadence, Made
from recbench.refresh.forecast import Done, Forecast, calibration, forecast
from recbench.tables.click_stream import ClickStream

__all__ = ["Skipping", "worth_making"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

OURS = "ours"
REHEARSED = 0.6  # of what is before the test: where the rehearsal begins
BUDGET = 0.5  # of the refreshes that the last day would have had, which is all a day may have
DAY_US, FEWEST = (
    86_400_000_000,
    20,
)  # how far back arrivals are looked at: a day, or so many windows


@dataclass(frozen=True)
class Skipping:
    """The finest cadence with and without the refreshes that a forecast finds worth it."""

    done: Freshness

    @property
    def fine(self) -> Cadence:
        """The finest cadence of the plan."""
        return self.done.plan.timed[0]

    @property
    def policy(self) -> Cadence:
        """The finest cadence, some of whose releases are not made."""
        return Cadence(f"{self.fine.name}-if-worth-it", self.fine.every_us)

    @cached_property
    def rehearsed(self) -> list[Done]:
        """Every refresh of the rehearsal, all of which is before the test."""
        done = self.done
        before = done.log.until(done.start)
        plan = replace(
            done.plan,
            from_share=REHEARSED,
            cadences=(self.fine,),
            factorials=(),
            models=(OURS,),
        )
        rehearsal = Freshness.of(
            before,
            plan,
            done.folder / "rehearsal",
            dials=done.chosen,
            stopwatch=done.stopwatch,
        )
        return _gains(rehearsal.models[OURS](), self.fine, rehearsal.scene)

    def said(self, n_events: int, share: float) -> Forecast:
        """What a refresh by so many clicks on items that it adds is expected to gain and cost."""
        return forecast(self.rehearsed, n_events=n_events, share=share)

    def run(self) -> Self:
        """Walk ours through the test with the refreshes that are worth it; kept like the rest."""
        done, store = self.done, self.done.store
        if store.track(OURS, "weights", self.policy, done.within) is None:
            arm = release_arm(self.policy)
            walked = walk(done.models[OURS](), self.policy, [arm], self._scene, choose=self._choose)
            store.keep(OURS, walked, done.asked, done.stream.items, k=done.plan.k)
        return self

    def table(self) -> pl.DataFrame:
        """The finest cadence, the policy, and half of the refreshes evenly, between two references.

        ``arm, refreshes, cpu_s, ndcg`` and, with intervals paired by request, the part of the
        finest cadence's gain over ``never`` and over the stalest cadence that each keeps.
        """
        done, plan = self.done, self.done.plan
        judge = Judge(done.store, ())
        cadences = [NEVER, plan.timed[-1], self.policy, self.fine]
        points = [(OURS, release_arm(cadence)) for cadence in cadences]
        means, drawn = judge.ratio_draws(points, "ndcg")
        rows = []
        for number, cadence in enumerate(cadences):
            track = self._track(cadence)
            row: dict[str, Any] = {"releases": cadence.name, "refreshes": len(track.counted)}
            row |= {"cpu_s": track.cpu_s, f"ndcg@{plan.k}": float(means[number])}
            for name, base in (("of_gain_over_never", 0), (f"of_gain_over_{cadences[1].name}", 1)):
                row |= _part(name, means, drawn, of=number, base=base, whole=3)
            rows.append(row)
        return pl.DataFrame(rows)

    def history(self) -> pl.DataFrame:
        """Each refresh of the test at the finest cadence: what was expected and what came of it.

        Columns as `recbench.widgets.refresh.forecast_figure` takes them.
        """
        rows = []
        for number, done in enumerate(self._tested, start=1):
            said = self.said(done.n_events, done.share)
            rows.append(
                {
                    "refresh": number,
                    "clicks": done.n_events,
                    "expected gain": said.gain,
                    "low": said.low,
                    "high": said.high,
                    "measured gain": done.gain,
                    "standard error": done.gain_error,
                    "expected cpu_s": said.cpu_s,
                    "cpu_s": done.cpu_s,
                }
            )
        return pl.DataFrame(rows)

    def summary(self) -> dict[str, float]:
        """Refreshes made, gain kept, and how well the forecast held on days it had not seen."""
        table = self.table()
        made = dict(table.select("releases", "refreshes").iter_rows())
        kept = table.row(2, named=True)
        over = f"of_gain_over_{self.done.plan.timed[-1].name}"
        told = [
            replace(done, predicted=self.said(done.n_events, done.share)) for done in self._tested
        ]
        figures = {
            "refreshes_frac": made[self.policy.name] / max(made[self.fine.name], 1),
            "gain_kept_over_never": kept["of_gain_over_never"],
            "gain_kept_over_stalest": kept[over],
            "gain_kept_over_stalest_low": kept[f"{over}_low"],
        } | {f"forecast_{name}": value for name, value in calibration(told).items()}
        return {name: value for name, value in figures.items() if value is not None}

    @cached_property
    def _tested(self) -> list[Done]:
        return _gains(self.done.models[OURS](), self.fine, self.done.scene)

    def _choose(self, instants: Ints) -> Bools:
        return worth_making(
            instants,
            self.done.stream,
            start=self.done.start,
            every=int(self.fine.every_us or 0),
            said=self.said,
        )

    def _track(self, cadence: Cadence) -> Track:
        return self.done.weights(OURS, cadence)

    @cached_property
    def _scene(self) -> Scene:
        """The test's, with statistics and index released together with the weights."""
        done, scene = self.done, self.done.scene
        tracks, shelves = dict(scene.tracks), dict(scene.shelves)
        for dial in ("statistics", "index"):
            begin, make = done.makers[dial]
            line, n_empty = made_over(
                self.policy,
                done.stream,
                done.within,
                begin=begin,
                make=make,
                stopwatch=done.stopwatch,
                choose=self._choose,
            )
            made: list[Made[Any]] = [*line]
            released = tuple(each.release for each in made)
            tracks[dial, self.policy] = Track(self.policy, released, n_empty, done.within)
            if dial == "statistics":
                shares = np.stack([each.state.shares for each in made])
                shelves[self.policy] = Shelf(shares, done.stream.first_known)
        return replace(scene, tracks=tracks, shelves=shelves)


def worth_making(
    instants: Ints,
    stream: ClickStream,
    *,
    start: int,
    every: int,
    said: Callable[[int, float], Forecast],
) -> Bools:
    """Which instants are worth a release: clicks on items that it would add promise enough.

    Enough is what, over the day before the instant, would have left `BUDGET` of the refreshes.

    Args:
        instants: ascending microseconds.
        stream: the log; of an instant only how much was known until then is used.
        start: microseconds, of the release that is there.
        every: microseconds between two instants.
        said: from new clicks and the share of the log that they are, what they promise.
    """
    last, made = start, np.zeros(len(instants), dtype=bool)
    for number, at in enumerate(instants.tolist()):
        waiting, least = _waiting(stream, last, at), _least(stream, at, every=every)
        n_known = int(stream.n_known(at))
        promised, wanted = (said(n, n / n_known).gain for n in (waiting, least))
        if promised >= wanted:
            made[number], last = True, at
    return made


def _waiting(stream: ClickStream, since: int, at: int) -> int:
    """New clicks, known between two instants, on items that a release as of the first lacks."""
    low, high = stream.n_known(np.array([since, at]))
    return int((stream.first_known[stream.item_rows[low:high]] >= since).sum())


def _least(stream: ClickStream, at: int, *, every: int) -> int:
    """The fewest clicks waiting that may make a release, for the last day to keep the budget."""
    n_windows = max(FEWEST, DAY_US // every)
    edges = at - every * np.arange(n_windows, -1, -1)
    n_busy = int((np.diff(stream.n_known(edges)) > 0).sum())
    low, high = 1, max(1, _waiting(stream, int(edges[0]), at))
    while low < high:
        middle = (low + high) // 2
        if _n_made(stream, edges.tolist(), middle) > BUDGET * n_busy:
            low = middle + 1
        else:
            high = middle
    return low


def _part(
    name: str, means: Floats, drawn: Floats, *, of: int, base: int, whole: int
) -> dict[str, float | None]:
    """The share of a gain with its interval; None where there is nothing to share."""
    names = [name, f"{name}_low", f"{name}_high"]
    there_is = drawn[:, whole] - drawn[:, base]
    if means[whole] <= means[base] or not np.all(there_is):
        return dict.fromkeys(names)
    share = (means[of] - means[base]) / (means[whole] - means[base])
    low, high = np.quantile((drawn[:, of] - drawn[:, base]) / there_is, [0.025, 0.975])
    return dict(zip(names, [float(share), float(low), float(high)], strict=True))


def _gains(model: Learner, cadence: Cadence, scene: Scene) -> list[Done]:
    """Of each release over the one before it, by the requests that it answers."""
    arm, asked, found = release_arm(cadence), scene.asked, []
    line, _ = made_over(
        cadence,
        scene.stream,
        scene.within,
        begin=model,
        make=lambda state, to: state.learned(scene.stream, to=to),
        stopwatch=scene.stopwatch,
    )
    before: Made[Learner] | None = None
    for made, until in with_ends(line):
        batch = np.arange(*np.searchsorted(asked.ts, [made.release.served_from, until]))
        if before is not None:
            new, old = (
                _ndcg(each.state, batch, arm, scene, behind=behind)
                for behind, each in enumerate((made, before))
            )
            n_known = int(scene.stream.n_known(made.release.watermark))
            came = _waiting(scene.stream, before.release.watermark, made.release.watermark)
            gain, error = _relative(new, old)
            cpu_s = made.release.cost.cpu_s
            found.append(
                Done(
                    n_events=came,
                    share=came / n_known,
                    gain=gain,
                    gain_error=error,
                    cpu_s=cpu_s,
                )
            )
        before = made
    return found


def _ndcg(
    model: Learner, batch: Ints, arm: Arm, scene: Scene, *, behind: int
) -> npt.NDArray[np.float64]:
    if not len(batch):
        return np.empty(0)
    scores = model.scores(histories_of(batch, arm.history, scene))
    seen = seen_of(batch, arm.history, scene)
    rows = best_list(scores, batch, arm, scene, prior=model.prior, seen=seen, behind=behind)
    hit = rows == scene.asked.item_rows[batch][:, None]
    gains: Floats = np.where(hit, 1 / np.log2(np.arange(2, scene.k + 2)), 0.0).sum(axis=1)
    return gains


def _relative(
    new: npt.NDArray[np.float64], old: npt.NDArray[np.float64]
) -> tuple[float | None, float | None]:
    """The mean gain as a share of the old mean, and its standard error; None of too few."""
    if len(old) < 2 or not old.mean():
        return None, None
    gained = (new - old) / old.mean()
    return float(gained.mean()), float(gained.std(ddof=1) / np.sqrt(len(gained)))


def _n_made(stream: ClickStream, edges: list[int], least: int) -> int:
    made, last = 0, edges[0]
    for at in edges[1:]:
        if _waiting(stream, last, at) >= least:
            made, last = made + 1, at
    return made
