"""One refresh in memory: the state as of a later instant, from the events since."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.features.batch import Engine, window_lookup
from recbench.features.definitions import Feature
from recbench.features.running_popularity import RunningPopularity
from recbench.models.candidate_features import CandidateSnapshots
from recbench.refresh.held_back import is_held_back
from recbench.refresh.replay import Exemplars, choose_exemplars
from recbench.refresh.state import LearnedState
from recbench.refresh.update import Rates, Updated, update_towers
from recbench.tables.log import Protocol
from recbench.tables.queries import InteractionLog
from recbench.training.batches import Batches
from recbench.training.examples import Examples, first_clicks
from recbench.training.objective import Objective, StepLoss
from recbench.training.policy_gradient import Reinforce
from recbench.training.target_shares import TargetShares

__all__ = ["Advanced", "UpdatePlan", "advance", "last_clicks", "past_exemplars"]

Ints = npt.NDArray[np.int64]
EventsOf = Callable[[pl.Series], pl.DataFrame]  # users -> all their events before the state's


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdatePlan:
    """How much a refresh learns, and from what."""

    protocol: Protocol
    window_features: Sequence[Feature]
    history_length: int  # L
    steps: int = 20
    seconds: float = 20.0
    batch_size: int = 256
    n_uniform: int = 1_024
    id_dropout: float = 0.3
    n_users: int = 4_096  # of the window, drawn at random where there are more
    n_cuts: int = 4  # instants of the window that candidates are taken as of
    n_replay: int = 1_024  # exemplars of earlier windows
    replay_half_life_s: float = 14 * 86_400.0
    n_kept: int = 4  # earlier windows that exemplars come from
    rates: Rates = field(default_factory=Rates)
    objective: StepLoss = field(default_factory=lambda: Objective(parent_weight=0.5))
    hold_back: bool = True  # a tenth of the users, to be judged by
    seed: int = 0
    engine: Engine = "cpu"

    @property
    def repeats(self) -> bool:
        """Whether items of the history may be shown again."""
        return self.protocol != "masked"


@dataclass(frozen=True, slots=True, eq=False)
class Advanced:
    """A state as of a later instant, and what was done to get there."""

    state: LearnedState
    before: LearnedState  # the parent with the catalogue of now, as of its own instant
    update: Updated
    trained: Exemplars  # whom it learned from as of earlier windows' instants
    n_examples: int
    n_new_items: int


def advance(
    state: LearnedState,
    events: pl.DataFrame,
    *,
    to: int,
    items: pl.DataFrame,
    past: EventsOf,
    plan: UpdatePlan,
) -> Advanced:
    """Grow, learn from the window and from exemplars, carry popularity on.

    Args:
        state: the parent's.
        events: canonical, all of [state.at, to), in order of time.
        to: microseconds since the epoch.
        items: canonical; what is known of new items.
        past: gives the events of users before ``state.at``.
        plan: how much to learn.

    Raises:
        InputError: the plan is policy gradient, and no click of the window has a propensity.
    """
    _require_propensities(events, plan)
    grown = state.grown(items, events[c.ITEM_ID])
    clicks = InteractionLog.from_events(events, items=grown.items)
    cuts = _cuts(state.at, to, n=plan.n_cuts)
    snapshots = _snapshots(grown, clicks, [*cuts[1:], to])
    held = is_held_back(events[c.USER_ID].to_numpy(), number=state.number)
    learned_from = events.filter(~pl.Series(held)) if plan.hold_back else events
    learned_from = _of_some_users(learned_from, state, plan)
    replayed = _replayed(grown, plan)
    users = pl.concat([learned_from[c.USER_ID], pl.Series(c.USER_ID, replayed.user_ids)]).unique()
    known = pl.concat([past(users), learned_from], how="diagonal")
    examples = _examples(known, grown, cuts, replayed, plan=plan, to=to)
    update = Updated(grown.towers, grown.moments)
    if examples is not None and plan.steps:
        batches = _batches(examples, known, [*grown.kept, *snapshots], plan=plan)
        update = update_towers(
            grown.towers,
            grown.moments,
            batches.from_step(0),
            steps=plan.steps,
            seconds=plan.seconds,
            rates=plan.rates,
            objective=plan.objective,
        )
    kept = [*grown.kept, grown.popularity][-plan.n_kept :]
    after = replace(
        grown,
        towers=update.towers,
        moments=update.moments,
        popularity=snapshots[-1],
        kept=tuple(kept),
        last_ts=last_clicks(clicks, grown.last_ts, until=to),
        pool=_pool(grown.pool, clicks, at=state.at, oldest=kept[0].at),
        number=state.number + 1,
    )
    n_new = len(grown.items) - len(state.items)
    n_examples = 0 if examples is None else len(examples)
    trained = _earlier(examples, before=state.at)
    return Advanced(after, grown, update, trained, n_examples, n_new)


def _require_propensities(events: pl.DataFrame, plan: UpdatePlan) -> None:
    if not isinstance(plan.objective, Reinforce) or not plan.steps:
        return
    clicked = events.filter(pl.col(c.CLICKED))
    known = c.PROPENSITY in events.columns and clicked[c.PROPENSITY].count() > 0
    if not known:
        raise InputError(
            f"None of the {len(clicked)} clicks of this window has a propensity, so policy "
            "gradient learns nothing: serve with --explore, or refresh by likelihood"
        )


def last_clicks(log: InteractionLog, before: Ints, *, until: int) -> Ints:
    """(n_items,) the later of ``before`` and an item's last click until then, microseconds."""
    known, last = log.ts < until, before.copy()
    np.maximum.at(last, log.item_rows[known], log.ts[known])
    return last


def past_exemplars(log: InteractionLog, cuts: Sequence[int], *, end: int) -> Exemplars:
    """Whoever clicks between two cuts, once a cut, with the first item clicked.

    Args:
        log: the clicks.
        cuts: ascending, microseconds.
        end: of the last stretch.
    """
    parts = [
        _clicked_between(log, start, stop)
        for start, stop in zip(cuts, [*cuts[1:], end], strict=True)
    ]
    return Exemplars(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _clicked_between(log: InteractionLog, start: int, stop: int) -> Exemplars:
    at = np.flatnonzero((log.ts >= start) & (log.ts < stop))
    user, first = np.unique(log.user_rows[at], return_index=True)  # in order of time by user
    items = log.items.ids[log.item_rows[at[first]]]
    return Exemplars(log.users.ids[user], np.full(len(user), start), items)


def _pool(pool: Exemplars, clicks: InteractionLog, *, at: int, oldest: int) -> Exemplars:
    """The pool with the users of the window, without those before ``oldest``."""
    new = _clicked_between(clicks, at, int(clicks.ts.max(initial=at)) + 1)
    joined = Exemplars(*(np.concatenate(pair) for pair in zip(pool, new, strict=True)))
    recent = joined.at >= oldest
    return Exemplars(*(column[recent] for column in joined))


def _of_some_users(events: pl.DataFrame, state: LearnedState, plan: UpdatePlan) -> pl.DataFrame:
    """The events of ``n_users`` users: a few steps do not see more, and each one's past is read."""
    users = events[c.USER_ID].unique(maintain_order=True)
    if len(users) <= plan.n_users:
        return events
    rng = np.random.default_rng([plan.seed, state.number])
    chosen = users[np.sort(rng.permutation(len(users))[: plan.n_users])]
    return events.filter(pl.col(c.USER_ID).is_in(chosen.implode()))


def _cuts(start: int, to: int, *, n: int) -> Ints:
    """At most ``n`` even instants from ``start`` on, the last one before ``to``."""
    return np.unique(start + (to - start) * np.arange(n) // n)


def _snapshots(
    grown: LearnedState, clicks: InteractionLog, instants: Sequence[int]
) -> list[RunningPopularity]:
    """Popularity as of the state's instant and each of ``instants``."""
    snapshots = [grown.popularity]
    for instant in instants:
        snapshots.append(snapshots[-1].advanced(clicks, to=int(instant)))
    return snapshots


def _replayed(state: LearnedState, plan: UpdatePlan) -> Exemplars:
    """A choice of the pool, and all who were held back the last time."""
    pool = state.pool
    if not len(pool.at):
        return pool
    last = pool.at == pool.at.max()
    owed = last & is_held_back(pool.user_ids, number=state.number - 1)
    owed &= plan.hold_back and state.number > 0
    free = Exemplars(*(column[~owed] for column in pool))
    chosen = choose_exemplars(
        free,
        n=min(plan.n_replay, len(free.at) // 2),  # the others tell what is forgotten
        half_life_us=plan.replay_half_life_s * 1e6,
        rng=np.random.default_rng([plan.seed, state.number]),
    )
    return Exemplars(*(np.concatenate([a, b[owed]]) for a, b in zip(chosen, pool, strict=True)))


def _examples(
    known: pl.DataFrame,
    state: LearnedState,
    cuts: Ints,
    replayed: Exemplars,
    *,
    plan: UpdatePlan,
    to: int,
) -> Examples | None:
    """Of the window, and of the exemplars as of their instants; None if there are none."""
    log = InteractionLog.from_events(known, items=state.items)
    if not plan.repeats:
        log = first_clicks(log)
    earlier = np.array([popularity.at for popularity in state.kept], dtype=np.int64)
    instants = np.concatenate([earlier, cuts])
    try:
        if plan.protocol != "next_in_session":
            horizon_us = to - int(instants[0])
            found = Examples.at_pseudo_cuts(log, cuts=instants, horizon_us=horizon_us)
        elif state.towers.queries.every_position:
            found = Examples.of_sequences(log, cuts=instants, length=plan.history_length)
        else:
            found = Examples.of_next_events(log, cuts=instants)
    except InputError:  # nobody came a second time
        return None
    asked = found.cuts[found.cut_of]
    # who clicked in the window is asked as of every instant that popularity was kept of
    kept = log.ts[found.target_ends - 1] >= cuts[0]
    for at in np.unique(replayed.at):
        kept |= (asked == at) & np.isin(found.user_ids, replayed.user_ids[replayed.at == at])
    return found.take(kept) if kept.any() else None


def _earlier(examples: Examples | None, *, before: int) -> Exemplars:
    """The examples as of instants before the window."""
    if examples is None:
        nobody = np.empty(0, dtype=np.int64)
        return Exemplars(nobody, nobody, nobody)
    asked = examples.cuts[examples.cut_of]
    old = asked < before
    items = examples.log.items.ids[examples.log.item_rows[examples.target_starts[old]]]
    return Exemplars(examples.user_ids[old], asked[old], items)


def _batches(
    examples: Examples,
    known: pl.DataFrame,
    kept: Sequence[RunningPopularity],
    *,
    plan: UpdatePlan,
) -> Batches:
    window = window_lookup(known, plan.window_features, engine=plan.engine)
    asked, log = examples.queries(np.arange(len(examples))), examples.log
    nothing = np.zeros((0, len(plan.window_features)), dtype=np.float32)
    every = examples.every_position
    return Batches(
        examples,
        CandidateSnapshots(kept),
        nothing if every else window(asked.user_ids, asked.ts),
        window(log.users.ids[log.user_rows], log.ts) if every else nothing,
        TargetShares.of(examples),
        batch_size=plan.batch_size,
        n_uniform=plan.n_uniform,
        history_length=plan.history_length,
        id_dropout=plan.id_dropout,
        repeats=plan.repeats,
        inner=False,
        all_items=False,
        seed=plan.seed,
    )
