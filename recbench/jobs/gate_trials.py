"""How the gate does on one log: refreshes in memory, healthy ones and such with faults put in.

A fault's strength is set by what it costs in truth: NDCG of everybody who clicks in the windows
after the refresh, each as of its start, which no gate can know. Every trial is a row, so that any
share can be counted.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, Self

import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.evaluation.exam import Exam
from recbench.features.running_popularity import RunningPopularity
from recbench.features.shipped import DEFAULT_WINDOW_FEATURES
from recbench.jobs.learned import recent_facts
from recbench.jobs.prequential import Prequential
from recbench.jobs.progress import rounds_of
from recbench.jobs.refresh_plan import plan_of
from recbench.jobs.trials import Trial
from recbench.models.frozen import Rows, TwoTowerRecommender
from recbench.models.two_tower import TwoTower
from recbench.refresh.advance import Advanced, EventsOf, advance
from recbench.refresh.examine import MOST_USERS, examine, total_drift, window_values
from recbench.refresh.facts import window_facts
from recbench.refresh.faults import FAULTS, Fault
from recbench.refresh.gate import Limits, Measured, Verdict, gate
from recbench.refresh.judge import Judge
from recbench.refresh.notes import Notes, judged_since
from recbench.refresh.state import LearnedState
from recbench.tables.vocabulary import Vocabulary

__all__ = ["GateTrials"]

AHEAD = 5  # windows from a refresh on whose users tell what a fault costs
NEAR, FAR = 0.1, 1.5  # how far above the wanted cost the real one is looked for, and may lie
HALVINGS = 10
STRONGEST = 32.0
STALE = 5  # windows that the vectors of a stale index are behind
MARK = "fault"  # attribute of towers
WITHIN = 8  # refreshes in which a lasting fault is to be found


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """Where a line of refreshes stands."""

    parent: LearnedState
    notes: Notes  # the parent's
    states: dict[str, LearnedState]  # of the releases so far, by the window each was made before


class _Judge(Judge):
    """Makes recommenders of marked towers with their fault."""

    __slots__ = ()

    def models(
        self,
        several: Sequence[TwoTower],
        items: Vocabulary,
        popularity: RunningPopularity,
        events: pl.DataFrame,
        *,
        hidden: Sequence[Rows] | None = None,
    ) -> list[TwoTowerRecommender]:
        made = super().models(several, items, popularity, events, hidden=hidden)
        faults = [getattr(towers, MARK, None) for towers in several]
        return [
            model if fault is None else fault.spoiled(model)
            for model, fault in zip(made, faults, strict=True)
        ]


def _of_fault(state: LearnedState, fault: Fault) -> LearnedState:
    """The state with towers of its own that are marked; copies of them stay so."""
    towers = copy.deepcopy(state.towers)
    setattr(towers, MARK, fault)
    return replace(state, towers=towers)


def _marked(done: Advanced, fault: Fault) -> Advanced:
    return replace(done, state=_of_fault(done.state, fault))


@dataclass(eq=False)
class GateTrials:
    """The last windows of a log, refreshed one after another, and what can be tried on them.

    Make it by ``GateTrials.of``.
    """

    log: Prequential
    limits: Limits
    places: list[_Place] = field(default_factory=list)  # before each window
    done: list[Advanced] = field(default_factory=list)  # by each window
    measured: list[Measured] = field(default_factory=list)

    @classmethod
    def of(cls, log: Prequential, *, limits: Limits | None = None) -> Self:
        """The line without faults; a wrong hold does not stop it.

        Args:
            log: whose windows are refreshed, from its first fit on.
            limits: of the gate.

        Raises:
            InputError: there are too few windows for a lasting fault.
        """
        trials = cls(log, limits or Limits())
        if trials.n_windows <= WITHIN + 1:
            raise InputError(f"`n_windows` must be above {WITHIN + 1}, got {trials.n_windows}")
        state, seen = log.fitted(log.edges[0]), log.between(None, log.edges[0])
        facts = recent_facts(seen, end=state.at)
        notes = Notes(facts=facts, n_known=len(seen), n_items_full=len(state.items))
        place = _Place(state, notes, {"0": state})
        for window in rounds_of(range(trials.n_windows), label="refreshes", unit="window"):
            done = trials._advanced(window, place.parent)
            measured = trials._measured(window, place, done)
            trials.places.append(place)
            trials.done.append(done)
            trials.measured.append(measured)
            place = trials._after(window, place, done, measured)
        return trials

    @property
    def n_windows(self) -> int:
        """How many refreshes the line has."""
        return len(self.log.edges) - 1

    def healthy(self, *, turns: int) -> list[Trial]:
        """Every refresh of the line without a fault: whatever is caught is a false alarm.

        Args:
            turns: how many parts of the users are held back in turn, of ten that there are.
        """
        found = []
        rounds = [*product(range(self.n_windows), range(turns))]
        for window, turn in rounds_of(rounds, label="no fault", unit="refresh"):
            measured = self.measured[window]
            if turn:  # the line itself is the first
                place = self.places[window]
                parent = replace(place.parent, number=place.parent.number + turn)
                done = self._advanced(window, parent)
                measured = self._measured(window, replace(place, parent=parent), done)
            verdict = gate(measured, self.limits)
            found.append(_trial(None, verdict, cost=0.0, wanted=0.0, window=window, seed=turn))
        return found

    def one_shot(self, *, costs: Sequence[float], n: int) -> list[Trial]:
        """One candidate with a fault; caught unless it is published.

        Args:
            costs: relative NDCG, in (0, 1).
            n: trials of each kind of fault, spread over the windows. Where no strength of it costs
                that much the trial is left out.
        """
        found = []
        for cost, fault, real, window in self._faults(costs, n, label="once"):
            verdict = gate(self._with(fault, window, self.places[window]), self.limits)
            found.append(
                _trial(fault, verdict, cost=real, wanted=cost, window=window, seed=fault.seed)
            )
        return found

    def lasting(self, *, costs: Sequence[float], n: int) -> list[Trial]:
        """Every candidate has the fault; caught once one is held, or the line rolled back.

        Arguments as for ``one_shot``.
        """
        found = []
        for cost, fault, real, window in self._faults(costs, n, label="lasting"):
            verdict, published = self._line_with(fault, window)
            trial = _trial(fault, verdict, cost=real, wanted=cost, window=window, seed=fault.seed)
            found.append(replace(trial, lasting=True, published=published))
        return found

    def _line_with(self, fault: Fault, start: int) -> tuple[Verdict, int]:
        """The verdict that ended the line, or the last; and how many with the fault went out."""
        place = self.places[start]
        for published in range(WITHIN + 1):
            window = start + published
            measured = self._with(fault, window, place, faulty_parent=published > 0)
            verdict = gate(measured, self.limits)
            if verdict.decision != "publish":
                break
            place = self._after(window, place, _marked(self.done[window], fault), measured)
        return verdict, published

    # One refresh

    def _with(
        self, fault: Fault, window: int, place: _Place, *, faulty_parent: bool = False
    ) -> Measured:
        """What is measured where the candidate has the fault, and perhaps the parent, too."""
        done = _marked(self.done[window], fault)
        if faulty_parent:
            done = replace(done, before=_of_fault(done.before, fault))
        return self._measured(window, place, done)

    def _advanced(self, window: int, parent: LearnedState) -> Advanced:
        start, end = self.log.edges[window : window + 2]
        return advance(
            parent,
            self.log.between(start, end),
            to=end,
            items=self.log.log.items,
            past=self._past(start),
            plan=plan_of(self.log.experiment, self.log.settings, protocol=self.log.log.protocol),
        )

    def _measured(self, window: int, place: _Place, done: Advanced) -> Measured:
        """What the job measures before there are files."""
        start, end = self.log.edges[window : window + 2]
        events, past = self.log.between(start, end), self._past(start)
        facts = window_facts(events, start=start, end=end, items=place.parent.items)
        measured = examine(
            done, events, past=past, judge=self._judge, facts=facts, hidden=self.log.hidden
        )
        since = self._judged_since(window, place, events, past)
        first, items = self.log.fitted(self.log.edges[0]), self.log.log.items
        return replace(
            measured,
            **since,
            usual=place.notes.facts,
            total_drift=total_drift(first, done.state, items=items, judge=self._judge),
            grown_share=1 - len(first.items) / len(done.state.items),
        )

    def _judged_since(
        self, window: int, place: _Place, events: pl.DataFrame, past: EventsOf
    ) -> dict[str, Any]:
        own, notes = str(window), place.notes
        before = str(window - 1) if window else None
        followed = notes.followed(release=own, before=before, margin=self.limits.margin)
        others = {name for step in followed for name in (step.release, step.before)}
        names = [own, *sorted({*others, notes.anchor} - {own, None}, key=str)]
        items = self.log.log.items
        values = window_values(
            [place.states[str(name)].grown_to(items, place.parent.items) for name in names],
            events=events,
            past=past,
            judge=self._judge,
            hidden=self.log.hidden,
        )
        named = dict(zip(map(str, names), values, strict=True))
        return judged_since(named, notes, followed, release=own, margin=self.limits.margin)

    def _after(self, window: int, place: _Place, done: Advanced, measured: Measured) -> _Place:
        """Where the line stands once the candidate is published."""
        notes = place.notes.after(
            measured.facts,
            parent=str(window),
            n_known=place.notes.n_known + measured.facts.n_events,
            evidence=measured.evidence,
            steps=measured.steps,
            margin=self.limits.margin,
            level=self.limits.level,
        )
        return _Place(done.state, notes, place.states | {str(window + 1): done.state})

    def _past(self, start: int) -> EventsOf:
        past = self.log.between(None, start)
        return lambda users: past.filter(pl.col(c.USER_ID).is_in(users.unique().implode()))

    @property
    def _judge(self) -> Judge:
        length = self.log.experiment.features.history_length
        return _Judge(self.log.log.protocol, DEFAULT_WINDOW_FEATURES, length, k=self.log.k)

    # What a fault costs

    def _faults(
        self, costs: Sequence[float], n: int, *, label: str
    ) -> Iterator[tuple[float, Fault, float, int]]:
        """Costs, faults of that cost, their real cost and the window that each begins in."""
        last = self.n_windows - max(AHEAD, WITHIN) - 1
        rounds = [*product(costs, FAULTS, range(n))]
        for cost, kind, seed in rounds_of(rounds, label=label, unit="trial"):
            window = round(seed * last / max(1, n - 1))
            n_items = len(self.done[window].state.items)
            earlier = self._model(self.places[max(0, window - STALE)].parent).candidate_embeddings
            weak = Fault(kind=kind, strength=0, n_items=n_items, seed=seed, earlier=earlier)
            fault, real = self._of_cost(weak, window, cost)
            if fault is not None:
                yield cost, fault, real, window

    def _of_cost(self, fault: Fault, window: int, cost: float) -> tuple[Fault | None, float]:
        """The fault in the strength that costs so much; None where none does."""
        exams = [self._exam(later) for later in range(window + 1, window + 1 + AHEAD)]
        models = [self._model(self.places[w + 1].parent) for w in range(window, window + AHEAD)]

        def total(strength: float) -> float:
            tried = fault.of(strength)
            values = (
                self._judge.values(tried.spoiled(model), exam)
                for model, exam in zip(models, exams, strict=True)
            )
            return float(sum(each.sum() for each in values))

        healthy = total(0.0)

        def costs(strength: float) -> float:
            return 1 - total(strength) / healthy

        low, high = 0.0, 1.0
        while (most := costs(high)) < cost:
            low, high = high, 2 * high
            if high > STRONGEST:
                return None, 0.0
        for _ in range(HALVINGS):
            if most <= (1 + NEAR) * cost:
                break
            middle = (low + high) / 2
            real = costs(middle)
            low, high, most = (middle, high, most) if real < cost else (low, middle, real)
        # one popular item may cost so much that nothing lies nearer
        return (fault.of(high), most) if most <= FAR * cost else (None, 0.0)

    def _exam(self, window: int) -> Exam | None:
        """What the window asks as of its start."""
        start, end = self.log.edges[window : window + 2]
        test, past = self.log.between(start, end), self._past(start)
        users = test[c.USER_ID].unique(maintain_order=True)[:MOST_USERS]
        asked = test.filter(pl.col(c.USER_ID).is_in(users.implode()))
        items = self.places[window].parent.items
        return self._judge.exam(past(users), asked, at=start, items=items)

    def _model(self, state: LearnedState) -> TwoTowerRecommender:
        (model,) = self._judge.models(
            [state.towers], state.items, state.popularity, self.log.log.events
        )
        return model


def _trial(
    fault: Fault | None, verdict: Verdict, *, cost: float, wanted: float, window: int, seed: int
) -> Trial:
    caught = verdict.decision == "hold" or verdict.roll_back is not None
    return Trial(
        fault="" if fault is None else fault.kind,
        lasting=False,
        wanted=wanted,
        cost=cost,
        window=window,
        seed=seed,
        caught=caught,
        reason=verdict.reasons[0].name if caught else "",
        published=int(not caught),
    )
