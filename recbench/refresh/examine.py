"""What a window's users say: of a candidate beside its parent, of a parent beside its anchor."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.features.running_popularity import RunningPopularity
from recbench.models.frozen import Rows
from recbench.refresh.advance import Advanced, EventsOf, last_clicks
from recbench.refresh.facts import WindowFacts
from recbench.refresh.gate import Measured
from recbench.refresh.held_back import is_held_back
from recbench.refresh.judge import Judge, drift_between, paired
from recbench.refresh.state import LearnedState
from recbench.tables.queries import InteractionLog

__all__ = ["MOST_USERS", "examine", "total_drift", "window_values"]

MOST_USERS = 2_000  # in one comparison
ROUNDING = 1e-9  # of sums of float64
Floats = npt.NDArray[np.float64]
HiddenOf = Callable[[LearnedState], Rows]


def examine(
    done: Advanced,
    events: pl.DataFrame,
    *,
    past: EventsOf,
    judge: Judge,
    facts: WindowFacts,
    usual: Sequence[WindowFacts] = (),
    hidden: HiddenOf,
) -> Measured:
    """The candidate beside its parent: fresh clicks, earlier windows, new items, drift, balance.

    Args:
        done: the candidate, and the parent with the candidate's catalogue.
        events: the window's; users who are held back judge, with the others' clicks known. The
            others judge, too: a candidate that loses even with them is spoiled.
        past: gives the events of users before the window.
        judge: sets the exams.
        facts: of the window.
        usual: of the windows before.
        hidden: item rows that a state does not recommend.
    """
    before, after = done.before, done.state
    held = is_held_back(events[c.USER_ID].to_numpy(), number=before.number)
    tested, rest = events.filter(pl.Series(held)), events.filter(~pl.Series(held))
    judges = tested[c.USER_ID].unique(maintain_order=True)[:MOST_USERS]
    tested = tested.filter(pl.col(c.USER_ID).is_in(judges.implode()))
    known_before = past(tested[c.USER_ID])
    exam = judge.exam(known_before, tested, at=before.at, items=after.items)
    # what the candidate will know of popularity, but for those who judge it
    clicks = InteractionLog.from_events(rest, items=after.items)
    popularity = before.popularity.advanced(clicks, to=after.at)
    last_ts = last_clicks(clicks, before.last_ts, until=after.at)
    hides = [hidden(replace(after, last_ts=last_ts)), hidden(before)]
    known = pl.concat([known_before, tested], how="diagonal")
    own, other = judge.models(
        [after.towers, before.towers], after.items, popularity, known, hidden=hides
    )
    (served,) = judge.models(
        [before.towers], after.items, before.popularity, known, hidden=hides[1:]
    )
    values = [judge.values(model, exam) for model in (own, other, served)]
    n_old = len(after.items) - done.n_new_items
    cold = [judge.hits_of_new(model, exam, n_old=n_old) for model in (own, other)]
    older = judge.older(
        [after.towers, before.towers],
        before,
        past,
        done.trained,
        most=MOST_USERS,
    )
    trained = _of_trained(done, rest, past=past, judge=judge, hides=[hidden(after), hidden(before)])
    promised = [judge.promised_over_seen(model, exam) for model in (own, other)]
    return Measured(
        facts=facts,
        usual=usual,
        held_back=paired(values[0], values[1]),
        gain=paired(values[0], values[2]),
        trained=paired(*trained),
        cold=paired(*cold),
        older=paired(*older),
        drift=drift_between(other, own),
        calibration=promised[0] / promised[1] if promised[0] and promised[1] else 1.0,
        expert_load=done.update.balance.get("expert_balance", 1.0),
        broken=_lost_clicks(after.popularity, popularity),
    )


def _of_trained(
    done: Advanced, events: pl.DataFrame, *, past: EventsOf, judge: Judge, hides: Sequence[Rows]
) -> list[Floats]:
    """NDCG of users that the candidate was trained on, under it and under the parent.

    Popularity is that before the window, so that nothing tells what they clicked but the training.
    """
    before = done.before
    users = events[c.USER_ID].unique(maintain_order=True)[:MOST_USERS]
    window, known = events.filter(pl.col(c.USER_ID).is_in(users.implode())), past(users)
    exam = judge.exam(known, window, at=before.at, items=before.items)
    towers = [done.state.towers, before.towers]
    both = pl.concat([known, window], how="diagonal")
    models = judge.models(towers, before.items, before.popularity, both, hidden=hides)
    return [judge.values(model, exam) for model in models]


def _lost_clicks(own: RunningPopularity, least: RunningPopularity) -> tuple[str, ...]:
    """What is wrong with a popularity that must count all of another one's clicks, and more."""
    n_less = int((own.values < least.values * (1 - ROUNDING)).any(axis=1).sum())
    return (f"the popularity of {n_less} items has lost clicks",) if n_less else ()


def window_values(
    states: Sequence[LearnedState],
    *,
    events: pl.DataFrame,
    past: EventsOf,
    judge: Judge,
    hidden: HiddenOf,
) -> list[Floats]:
    """NDCG of a window's users under the towers of each state, the same users in all.

    Args:
        states: of one catalogue; popularity is that of the first, as of the window's start.
        events: the window's.
        past: gives the events of users before the window.
        judge: sets the exam.
        hidden: item rows that a state does not recommend.
    """
    first = states[0]
    users = events[c.USER_ID].unique(maintain_order=True)[:MOST_USERS]
    window, before = events.filter(pl.col(c.USER_ID).is_in(users.implode())), past(users)
    exam = judge.exam(before, window, at=first.at, items=first.items)
    models = judge.models(
        [state.towers for state in states],
        first.items,
        first.popularity,
        pl.concat([before, window], how="diagonal"),
        hidden=[hidden(state) for state in states],
    )
    return [judge.values(model, exam) for model in models]


def total_drift(
    full: LearnedState, now: LearnedState, *, items: pl.DataFrame, judge: Judge
) -> float:
    """1 - mean cosine of item vectors, from an earlier state to this one.

    Args:
        full: as of the last full fit.
        now: its catalogue and popularity serve both.
        items: canonical; what is known of items that came since.
        judge: makes recommenders.
    """
    towers = [full.grown_to(items, now.items).towers, now.towers]
    nothing = pl.DataFrame()  # of users: none asks
    then, own = judge.models(towers, now.items, now.popularity, nothing)
    return drift_between(then, own)
