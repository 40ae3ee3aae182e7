"""Policy gradient as a refresh, beside the plain refresh of the same events: simulated."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.benchmarks.result import BenchResult, medians
from recbench.datasets.simulator import events_of, items_of
from recbench.datasets.world.closed_loop import run as run_world
from recbench.datasets.world.protocol import Asked, Slates
from recbench.datasets.world.sampling import UniformPolicy
from recbench.datasets.world.settings import WorldSettings
from recbench.datasets.world.truth import World
from recbench.errors import InputError
from recbench.evaluation.intervals import bootstrap_mean
from recbench.features.batch import window_lookup
from recbench.features.shipped import DEFAULT_WINDOW_FEATURES
from recbench.jobs.build import Cut, fit_two_tower
from recbench.jobs.learned import learned_state
from recbench.jobs.refresh_plan import plan_of
from recbench.policy.world.drawn import DrawnPolicy, Switched
from recbench.policy.world.retrieval import TowerRetrieval
from recbench.refresh.advance import advance
from recbench.refresh.judge import recommender_of
from recbench.refresh.state import LearnedState
from recbench.settings import Experiment, RefreshSettings, TowerSettings
from recbench.tables.log import EventLog
from recbench.tables.queries import InteractionLog

__all__ = ["run"]

TRAINED_H, REFRESHED_H, END_H = 24.0, 48.0, 72.0
TICK_S, DIM, FIT_STEPS, STEPS = 900.0, 32, 200, 20
HORIZON_US, HALF_LIFE_S = 6 * 3_600_000_000, 6 * 3600.0
TEMPERATURE, EVEN = 0.3, 0.2  # of the second day's policy
SLATE, USERS, LIVE, REQUESTS = 10, 300, 400, 4.0
STALE, NOTHING, PLAIN, REINFORCE = "stale", "popularity", "likelihood", "reinforce"

Floats = npt.NDArray[np.float64]


def run(*, runs: int = 4, seed: int = 0) -> BenchResult:
    """Expected clicks a slot on the third day, by towers that were refreshed after the second.

    Each run is a world: a day of lists of ten at random, towers trained on it, a day of lists that
    are drawn by declared chances from what they retrieve, then refreshes of the same towers by the
    same events, steps and rates: by likelihood, by policy gradient, and by popularity alone. On the
    third day each shows its ten best, greedily, and does not move; the world says how likely a
    click is. ``gain`` is policy gradient less likelihood, with a 95 % interval by bootstrap over
    the users of all worlds. All of it is simulated.

    Args:
        runs: worlds.
        seed: of the first world; the next ones follow.

    Raises:
        InputError: fewer than one world.
    """
    if runs < 1:
        raise InputError(f"`runs` must be at least 1, got {runs}")
    worlds = [_world(seed + number) for number in range(runs)]
    by_user = {name: np.concatenate([world[name] for world in worlds]) for name in worlds[0]}
    rows = [{name: float(values.mean()) for name, values in world.items()} for world in worlds]
    figures = medians(rows, keys=[STALE, NOTHING, PLAIN, REINFORCE])
    for name, other in (("gain", PLAIN), ("gain_on_popularity", NOTHING)):
        found = bootstrap_mean(by_user[REINFORCE] - by_user[other], seed=seed)
        figures |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
    figures["worlds_gained"] = float(sum(row[REINFORCE] > row[PLAIN] for row in rows))
    return BenchResult("reinforce", figures, rows)


@dataclass(frozen=True, slots=True, eq=False)
class _Events:
    """Of a world as far as it has been run."""

    world: World
    events: pl.DataFrame
    n_born: int

    @classmethod
    def until(cls, world: World, policy: object, hour: float) -> "_Events":
        shown = run_world(world, policy, tick_s=TICK_S, until_h=hour)  # type: ignore[arg-type]  # a policy
        events = events_of(shown, world).sort(c.TS, maintain_order=True)
        return cls(world, events, int(np.searchsorted(world.items.born_h, hour)))

    @property
    def end(self) -> int:
        """Microseconds since the epoch, just after the last event."""
        return int(self.events[c.TS].dt.epoch("us")[-1]) + 1

    @property
    def log(self) -> EventLog:
        items = items_of(self.world).head(self.n_born)
        return EventLog("simulated", "impressions", self.events, items, version=0)


def _world(seed: int) -> dict[str, Floats]:
    """(U,) clicks a slot that each arm may expect of each user who came on the third day."""
    settings = WorldSettings(
        days=END_H / 24,
        n_users=USERS,
        n_live=LIVE,
        slate=SLATE,
        requests_per_user_day=REQUESTS,
        social_gain=0.0,
    )
    world = World.drawn(settings, seed=seed)
    experiment = Experiment(towers=TowerSettings(embedding_dim=DIM), seed=seed)
    first = _Events.until(world, UniformPolicy(seed=seed), TRAINED_H)
    cut = Cut(at=first.end, horizon_us=HORIZON_US, half_life_s=HALF_LIFE_S)
    fitted = fit_two_tower(first.log, first.events, cut, experiment=experiment, steps=FIT_STEPS)
    state = learned_state(fitted, first.log, experiment=experiment)

    def logging() -> DrawnPolicy:
        retrieval = _retrieval(state, first, first.end, experiment)
        return DrawnPolicy(retrieval, temperature=TEMPERATURE, even=EVEN, seed=seed)

    second = _Events.until(
        world, Switched(UniformPolicy(seed=seed), (TRAINED_H, logging)), REFRESHED_H
    )
    states = {STALE: state} | _refreshed(state, second, experiment)
    arms = {
        name: _retrieval(one, first if name == STALE else second, second.end, experiment)
        for name, one in states.items()
    }
    looking = _Looking(arms, world, seed=seed)
    third = Switched(UniformPolicy(seed=seed), (TRAINED_H, logging), (REFRESHED_H, lambda: looking))
    run_world(world, third, tick_s=TICK_S, until_h=END_H)
    return looking.by_user()


def _refreshed(
    state: LearnedState, second: _Events, experiment: Experiment
) -> dict[str, LearnedState]:
    """By the second day's events, each kind of refresh from the same state."""
    ts = second.events[c.TS].dt.epoch("us")
    past, window = second.events.filter(ts < state.at), second.events.filter(ts >= state.at)
    found = {}
    for name, objective, steps in (
        (NOTHING, "likelihood", 0),
        (PLAIN, "likelihood", STEPS),
        (REINFORCE, "reinforce", STEPS),
    ):
        dials = RefreshSettings(steps=steps, seconds=3_600.0, objective=objective, slate=SLATE)
        plan = plan_of(experiment, dials, protocol="impressions")
        found[name] = advance(
            state,
            window,
            to=second.end,
            items=second.log.items,
            past=lambda users: past.filter(pl.col(c.USER_ID).is_in(users.implode())),
            plan=replace(plan, hold_back=False),
        ).state
    return found


def _retrieval(
    state: LearnedState, seen: _Events, at: int, experiment: Experiment
) -> TowerRetrieval:
    """Of a state's towers, with histories as of ``at``; an item they lack is like the mean."""
    model = recommender_of(
        state.towers,
        state.items,
        state.popularity,
        window_lookup(seen.events, DEFAULT_WINDOW_FEATURES),
        history_length=experiment.features.history_length,
        hidden=np.empty(0, dtype=np.int64),
    )
    log = InteractionLog.from_events(seen.events, items=state.items)
    queries = model.query_embeddings(log.queries(np.arange(USERS), at)).astype(np.float64)
    rows = state.items.rows(pl.Series(np.arange(seen.n_born)))
    held = model.candidate_embeddings.astype(np.float64)
    candidates = np.where(rows[:, None] >= 0, held[rows], held.mean(axis=0))
    return TowerRetrieval(queries, candidates, seen.world.items.category[: seen.n_born])


class _Looking(DrawnPolicy):
    """Shows by one arm, and asks the world what each would have earned: nobody's taste moves."""

    def __init__(self, arms: dict[str, TowerRetrieval], world: World, *, seed: int) -> None:
        super().__init__(arms[STALE], even=0.0, n_candidates=SLATE + 1, seed=seed)
        self._arms, self._world = arms, world
        self._users: list[npt.NDArray[np.int64]] = []
        self._earned: dict[str, list[Floats]] = {name: [] for name in arms}

    def observe(self, feedback: object) -> None:
        for arm in self._arms.values():
            arm.meet(feedback.new_items)  # type: ignore[attr-defined]  # Feedback

    def slates(self, asked: Asked) -> Slates:
        positions = np.arange(asked.slate)
        self._users.append(asked.user_ids)
        shown = {}
        for name, arm in self._arms.items():
            items = arm.pool(asked, asked.slate).item_ids
            truth = self._world.truth(
                asked.user_ids[:, None], items, asked.hours[:, None], positions
            )
            self._earned[name].append(truth.click_probability.mean(axis=1))
            shown[name] = items
        return Slates(shown[STALE], np.ones(shown[STALE].shape))

    def by_user(self) -> dict[str, Floats]:
        """(U,) the mean over a user's requests."""
        users = np.concatenate(self._users)
        counts = np.bincount(users)
        came = counts > 0
        mean: Callable[[list[Floats]], Floats] = lambda parts: (  # noqa: E731  # short
            np.bincount(users, np.concatenate(parts))[came] / counts[came]
        )
        return {name: mean(parts) for name, parts in self._earned.items()}
