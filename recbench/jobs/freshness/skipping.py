"""Refreshes that will not pay are skipped: a rule and a forecast, found before the test.

The rule's one number, and what refreshes gain, are found in a rehearsal on the days before the
test; then both are frozen.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench.evaluation.clustered import clustered_draws
from recbench.files import write_json
from recbench.jobs.freshness.arms import release_arm
from recbench.jobs.freshness.experiment import SHARED, Freshness
from recbench.jobs.freshness.gains import gains_of
from recbench.jobs.freshness.judge import Judge
from recbench.jobs.freshness.lists import Shelf
from recbench.jobs.freshness.walk import Scene
from recbench.jobs.freshness.worth import worth_making
from recbench.refresh.cadence import NEVER, Cadence
from recbench.refresh.forecast import Done, Forecast, calibration, forecast
from recbench.tables.lake_log import as_instant

__all__ = ["Skipping"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Said = Callable[[int, float], Forecast]

OURS = "ours"
REHEARSED = 0.6  # of what is before the test: where the rehearsal begins
BUDGETS = (0.2, 0.3, 0.4, 0.5)  # shares of a day's refreshes that the rule may be given
KEEPS = 0.95  # of the rehearsal's gain that the chosen budget keeps, or else the largest is taken


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
    def rehearsal(self) -> Freshness:
        """The finest cadence on the last days before the test, with ours as it is in the test."""
        done = self.done
        plan = replace(
            done.plan, from_share=REHEARSED, cadences=(self.fine,), factorials=(), models=(OURS,)
        )
        return Freshness.of(
            done.log.until(done.start),
            plan,
            done.folder / "rehearsal",
            dials=done.chosen,
            stopwatch=done.stopwatch,
            making=done.making,
        )

    @cached_property
    def rehearsed(self) -> list[Done]:
        """Every refresh of the rehearsal."""
        return gains_of(self.rehearsal, OURS, self.fine)

    @cached_property
    def rule(self) -> dict[str, Any]:
        """``budget``, and what each one kept in the rehearsal; found once, and kept."""
        place = self.done.folder / "rule.json"
        if not place.exists():
            tried = _tried(self.rehearsal, self.fine)
            enough = [one["budget"] for one in tried if (one["kept"] or 0.0) >= KEEPS]
            write_json(place, {"budget": min(enough, default=BUDGETS[-1]), "rehearsed": tried})
        found: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
        return found

    def said(self, n_events: int, share: float) -> Forecast:
        """What a refresh by so many clicks on items that it adds is expected to gain and cost."""
        return forecast(self.rehearsed, n_events=n_events, share=share)

    def run(self) -> "Skipping":
        """Walk ours through the test with the refreshes that are worth it; kept like the rest."""
        done = self.done
        if done.store.track(OURS, "weights", self.policy, done.within) is None:
            choose = _chooser(done, self.fine, self.rule["budget"], self.said)
            _walk(done, self.policy, choose)
        return self

    def table(self) -> pl.DataFrame:
        """Nothing, the stalest cadence, the policy, and the finest cadence; whole test and days.

        ``test, begins, releases, requests, refreshes, cpu_s, ndcg`` and, with intervals paired by
        request, the part of the finest cadence's gain over ``never`` and over the stalest cadence
        that each keeps. A day is as long as the stalest cadence.
        """
        done, day = self.done, int(self.done.plan.timed[-1].every_us or 0)
        ts, rows = done.asked.ts, self._rows("all", done.start, done.end)
        for number, begins in enumerate(range(done.start, done.end, day), start=1):
            if ((ts >= begins) & (ts < begins + day)).any():
                rows += self._rows(f"day {number}", begins, begins + day)
        return pl.DataFrame(rows)

    def _rows(self, test: str, begins: int, ends: int) -> list[dict[str, Any]]:
        done, plan = self.done, self.done.plan
        cadences = [NEVER, plan.timed[-1], self.policy, self.fine]
        points = [(OURS, release_arm(cadence)) for cadence in cadences]
        inside = (done.asked.ts >= begins) & (done.asked.ts < ends)
        users, values = Judge(done.store, ()).matrix(points, "ndcg")
        means, drawn = values[inside].mean(axis=0), clustered_draws(users[inside], values[inside])
        rows = []
        for number, cadence in enumerate(cadences):
            track = done.weights(OURS, cadence)
            made = [r for r in track.counted if begins <= r.watermark < ends]
            row: dict[str, Any] = {"test": test, "begins": as_instant(begins)}
            row |= {"releases": cadence.name, "requests": int(inside.sum()), "refreshes": len(made)}
            row |= {
                "cpu_s": sum(r.cost.cpu_s for r in made),
                f"ndcg@{plan.k}": float(means[number]),
            }
            for name, base in (("of_gain_over_never", 0), (f"of_gain_over_{cadences[1].name}", 1)):
                row |= _part(name, means, drawn, of=number, base=base, whole=3)
            rows.append(row)
        return rows

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
                    "requests": done.n_judged,
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
        stalest = self.done.plan.timed[-1].name
        made = {row["releases"]: row for row in self._rows("all", self.done.start, self.done.end)}
        policy, fine = made[self.policy.name], made[self.fine.name]
        told = [
            replace(done, predicted=self.said(done.n_events, done.share)) for done in self._tested
        ]
        figures = {
            "budget": self.rule["budget"],
            "refreshes_frac": policy["refreshes"] / max(fine["refreshes"], 1),
            "gain_kept_over_never": policy["of_gain_over_never"],
            "gain_kept_over_never_low": policy["of_gain_over_never_low"],
            "gain_kept_over_stalest": policy[f"of_gain_over_{stalest}"],
            "gain_kept_over_stalest_low": policy[f"of_gain_over_{stalest}_low"],
        } | {f"forecast_{name}": value for name, value in calibration(told).items()}
        return {name: value for name, value in figures.items() if value is not None}

    @cached_property
    def _tested(self) -> list[Done]:
        return gains_of(self.done, OURS, self.fine)


def _tried(rehearsal: Freshness, fine: Cadence) -> list[dict[str, Any]]:
    """Each budget's share of refreshes and of the gain over ``never``, before the test."""
    rehearsal.store.keep_asked(rehearsal.asked)
    for cadence in (NEVER, fine):
        rehearsal.keep_walk(OURS, cadence, [release_arm(cadence)], rehearsal.scene)
    policies = [Cadence(f"{fine.name}-budget-{budget:g}", fine.every_us) for budget in BUDGETS]
    for budget, policy in zip(BUDGETS, policies, strict=True):
        # nothing was learned yet, so that what promises more is just what has more
        choose = _chooser(rehearsal, fine, budget, partial(_said_of, ()))
        _walk(rehearsal, policy, choose)
    points = [(OURS, release_arm(cadence)) for cadence in (NEVER, fine, *policies)]
    means, drawn = Judge(rehearsal.store, ()).ratio_draws(points, "ndcg")
    n_fine = len(rehearsal.weights(OURS, fine).counted)
    return [
        {
            "budget": budget,
            "refreshes_frac": len(rehearsal.weights(OURS, policy).counted) / max(1, n_fine),
        }
        | _part("kept", means, drawn, of=number, base=0, whole=1)
        for number, (budget, policy) in enumerate(zip(BUDGETS, policies, strict=True), start=2)
    ]


def _said_of(past: tuple[Done, ...], n_events: int, share: float) -> Forecast:
    return forecast(past, n_events=n_events, share=share)


def _chooser(done: Freshness, fine: Cadence, budget: float, said: Said) -> Callable[[Ints], Bools]:
    return partial(
        worth_making,
        stream=done.stream,
        start=done.start,
        every=int(fine.every_us or 0),
        budget=budget,
        said=said,
    )


def _walk(done: Freshness, policy: Cadence, choose: Callable[[Ints], Bools]) -> None:
    scene = _scene(done, policy, choose)
    done.keep_walk(OURS, policy, [release_arm(policy)], scene, choose=choose)


def _scene(done: Freshness, policy: Cadence, choose: Callable[[Ints], Bools]) -> Scene:
    """The test's, with statistics and index released together with the weights."""
    scene = done.scene
    tracks, shelves = dict(scene.tracks), dict(scene.shelves)
    for dial in ("statistics", "index"):
        track, states = done.made(dial, policy, done.within, choose=choose)
        tracks[dial, policy] = track
        done.store.keep_track(SHARED, dial, track)
        if dial == "statistics":
            shares = np.stack([state.shares for state in states])
            shelves[policy] = Shelf(shares, done.stream.first_known)
    return replace(scene, tracks=tracks, shelves=shelves)


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
