"""One refresh as a job: each step leaves its result, so that a killed run goes on after the last.

read -> (forecast) -> update -> judge -> seal (with the gate's verdict) -> publish. The folder of a
refresh is named after what decides its outcome: parent release, lake version, dials and code.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import polars as pl
from safetensors.torch import load_file, save_file

from recbench.errors import JobError, ReleaseError
from recbench.features.shipped import DEFAULT_WINDOW_FEATURES
from recbench.files import one_at_a_time, whole_file
from recbench.jobs.build import towers_for
from recbench.jobs.candidate import Candidate
from recbench.jobs.code_digest import code_digest
from recbench.jobs.cost import joules_so_far
from recbench.jobs.outcomes import OUTCOME, REFRESHES, Outcome, past_refreshes
from recbench.jobs.refresh_plan import instant_of, plan_of
from recbench.jobs.seal import seal_release
from recbench.jobs.steps import Steps
from recbench.models.content import ItemContent
from recbench.models.two_tower import TwoTower
from recbench.refresh import Manifest, Registry, Release
from recbench.refresh.advance import Advanced, UpdatePlan, advance
from recbench.refresh.examine import examine, total_drift, window_values
from recbench.refresh.facts import WindowFacts, window_facts
from recbench.refresh.forecast import Done, Forecast, forecast, is_worth_it
from recbench.refresh.gate import Limits, Measured, Verdict, gate
from recbench.refresh.judge import Judge
from recbench.refresh.notes import Notes, judged_since
from recbench.refresh.state import LearnedState
from recbench.refresh.stored import needed_by, read_state
from recbench.refresh.stored_ranker import has_ranker
from recbench.settings import Experiment, RefreshSettings
from recbench.tables.lake_log import LakeLog

__all__ = ["Refresh", "asked"]

UPDATED = "updated.safetensors"
NOTHING_NEW = "no event has come since the parent's watermark"


def asked(
    log: LakeLog,
    *,
    workspace: Path,
    until: str = "",
    margin: float = 0.01,
    accept: Sequence[str] = (),
    **dials: Any,
) -> "Refresh":
    """The refresh that a notebook's parameters name.

    Args:
        log: as of one version of the lake.
        workspace: holds ``registry/`` and ``refreshes/``.
        until: a share of the log, or a time in ISO 8601; empty: all that has come.
        margin: share of NDCG that users who were held back may lose.
        accept: findings of the gate that somebody has looked at.
        dials: of ``RefreshSettings``.
    """
    return Refresh.of(
        log,
        workspace=workspace,
        settings=RefreshSettings(**dials),
        limits=Limits(margin=margin),
        until=instant_of(log, until),
        accept=tuple(accept),
        joules=joules_so_far(),
    )


@dataclass(eq=False)
class Refresh:
    """From a parent release and a version of the lake to a verdict, and mostly to a new release.

    Make it by ``Refresh.of``. Each step may be called again, in any process: what is done is done.
    """

    log: LakeLog
    registry: Registry
    parent: Release
    settings: RefreshSettings
    limits: Limits
    to: int  # microseconds since the epoch: events before it are learned from
    folder: Path
    accept: tuple[str, ...] = ()
    say: Callable[[str], None] = field(default=lambda _: None)
    joules: Callable[[], float] | None = None  # used up so far, such as `cost.joules_so_far` tells

    @classmethod
    def of(
        cls,
        log: LakeLog,
        *,
        workspace: Path,
        settings: RefreshSettings | None = None,
        limits: Limits | None = None,
        until: int | None = None,
        accept: tuple[str, ...] = (),
        say: Callable[[str], None] = lambda _: None,
        joules: Callable[[], float] | None = None,
    ) -> Self:
        """The refresh of the current release by what the lake holds more.

        Args:
            log: as of one version of the lake.
            workspace: holds ``registry/`` and ``refreshes/``.
            settings: how much is learned.
            limits: what the gate holds to.
            until: microseconds since the epoch; default: the log's end.
            accept: findings of the gate that somebody has looked at.
            say: told what goes on.
            joules: used up so far; None: energy is not written down.

        Raises:
            ReleaseError: there is no release to start from, or it is of another log.
        """
        registry = Registry(workspace / "registry")
        parent = registry.open()
        if parent.manifest.data != log.name:
            raise ReleaseError(
                f"The current release {parent.manifest.release} is of {parent.manifest.data!r}, "
                f"not of {log.name!r}: use a workspace of its own for each log"
            )
        settings, limits = settings or RefreshSettings(), limits or Limits()
        span = log.span()
        to = until if until is not None else (0 if span is None else span[1] + 1)
        decides = {
            "parent": parent.manifest.release,
            "log": [log.name, log.table.identity, log.version, to],
            "settings": dataclasses.asdict(settings),
            "limits": dataclasses.asdict(limits),
            "accept": sorted(accept),
            "code": code_digest(),
        }
        key = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]
        folder = workspace / REFRESHES / key
        made = cls(log, registry, parent, settings, limits, to, folder, accept, say, joules)
        made.steps.once("decides", lambda: decides)
        return made

    @property
    def steps(self) -> Steps:
        """What is done, and what it left."""
        return Steps(self.folder, self.joules)

    # What has come

    @cached_property
    def experiment(self) -> Experiment:
        """The dials of the last full fit."""
        return Experiment.from_json(self.parent.manifest.settings)

    @cached_property
    def _parent_state(self) -> tuple[LearnedState, Notes]:
        state, notes = read_state(self.parent.folder, self._new_towers)
        return state, Notes.from_json(notes)

    @property
    def state(self) -> LearnedState:
        """The parent's."""
        return self._parent_state[0]

    @property
    def notes(self) -> Notes:
        """The parent's."""
        return self._parent_state[1]

    @cached_property
    def events(self) -> pl.DataFrame:
        """The window: events since the parent's instant."""
        return self.log.since(self.state.at, until=self.to)

    @cached_property
    def n_before(self) -> int:
        """Events of the lake before the parent's instant, late ones among them."""
        return self.log.n_before(self.state.at)

    def facts(self) -> WindowFacts:
        """What the window looks like."""
        end = max(self.to, self.state.at)

        def found() -> dict[str, Any]:
            n_late = max(0, self.n_before - self.notes.n_known)
            start, items = self.state.at, self.state.items
            facts = window_facts(self.events, start=start, end=end, items=items, n_late=n_late)
            return facts.to_json()

        return WindowFacts.from_json(self.steps.once("read", found))

    @property
    def is_empty(self) -> bool:
        """Whether nothing has come at all."""
        facts = self.facts()
        return not facts.n_events and not facts.n_late

    @cached_property
    def past(self) -> list[Outcome]:
        """Earlier refreshes of this log."""
        return past_refreshes(self.folder.parent.parent, data=self.log.name)

    def forecast(self) -> Forecast:
        """What this refresh is expected to gain and to cost."""
        n = self.facts().n_events
        done = [one.done for one in self.past if one.decision == "publish"]
        held = self.steps.once(
            "forecast",
            lambda: dataclasses.asdict(forecast(done, n_events=n, share=self._share)),
        )
        return Forecast(**held)

    # What is learned and judged

    def update(self) -> Advanced:
        """Grow and learn; a second call takes the weights from the folder."""
        return self._advanced

    @cached_property
    def _advanced(self) -> Advanced:
        place = self.folder / UPDATED
        if not self.steps.has("update"):
            with self._step("update") as facts:
                done = self._advance(self.plan)
                parts = {"towers": done.state.towers.state_dict(), "moments": done.state.moments}
                with whole_file(place) as draft:
                    save_file(
                        {
                            f"{part}/{name}": tensor.contiguous()
                            for part, tensors in parts.items()
                            for name, tensor in tensors.items()
                        },
                        draft,
                    )
                facts |= {
                    "losses": done.update.losses,
                    "n_examples": done.n_examples,
                    "n_earlier": len(done.trained.at),
                    "n_new_items": done.n_new_items,
                    "balance": done.update.balance,
                }
            return done
        # all but the weights is made again, which takes no step
        held, told = load_file(place), self.steps.read("update")
        done = self._advance(replace(self.plan, steps=0))
        towers = done.state.towers
        towers.load_state_dict(_part(held, "towers"))
        moments = _part(held, "moments")
        update = replace(
            done.update,
            towers=towers,
            moments=moments,
            losses=told["losses"],
            balance=told["balance"],
        )
        state = replace(done.state, towers=towers.eval(), moments=moments)
        return replace(done, state=state, update=update, n_examples=told["n_examples"])

    @property
    def plan(self) -> UpdatePlan:
        """How much is learned, by the parent's dials and the refresh's own."""
        return plan_of(self.experiment, self.settings, protocol=self.log.protocol)

    def judge(self) -> Measured:
        """Everything that is measured before there are files."""
        if not self.steps.has("judge"):
            self.update()
            with self._step("judge") as facts:
                facts |= self._judged().to_json()
        return Measured.from_json(self.steps.read("judge"), self.notes.facts)

    def _judged(self) -> Measured:
        done = self._advanced
        measured = examine(
            done,
            self.events,
            past=self._past_of,
            judge=self.judge_of_window(),
            facts=self.facts(),
            hidden=self._tombstones,
        )
        return replace(
            measured,
            **self._judged_since(),
            total_drift=self._total_drift(),
            grown_share=1 - self.notes.n_items_full / len(done.state.items),
        )

    def _judged_since(self) -> dict[str, Any]:
        """``anchor, evidence, steps``: what the window's users say of the last releases."""
        manifest, notes = self.parent.manifest, self.notes
        refreshed = manifest.parent if "refresh" in manifest.settings else None
        followed = notes.followed(
            release=manifest.release, before=refreshed, margin=self.limits.margin
        )
        names = {name for step in followed for name in (step.release, step.before)}
        states = {manifest.release: self.state}
        for name in sorted(names | ({notes.anchor} if notes.anchor else set())):
            if (state := self._state_of(name)) is not None:
                states[name] = state
        judged = window_values(
            list(states.values()),
            events=self.events,
            past=self._past_of,
            judge=self.judge_of_window(),
            hidden=self._tombstones,
        )
        values = dict(zip(states, judged, strict=True))
        return judged_since(
            values, notes, followed, release=manifest.release, margin=self.limits.margin
        )

    def _total_drift(self) -> float:
        full = self._state_of(self.notes.full)
        if full is None:
            return 0.0
        return total_drift(
            full, self._advanced.state, items=self.log.items, judge=self.judge_of_window()
        )

    # What is made of it

    def verdict(self) -> Verdict:
        """The gate's, on the input alone where that already speaks against the refresh."""
        if self.steps.has("seal"):
            return Verdict.from_json(self.steps.read("seal")["verdict"])
        return self._of_input()

    def _of_input(self) -> Verdict:
        measured = Measured(facts=self.facts(), usual=self.notes.facts)
        return gate(measured, self.limits, accept=self.accept)

    def seal(self) -> Release | None:
        """The candidate as a release that is not yet the current one; None where there is none."""
        if not self.steps.has("seal"):
            verdict = self._of_input()
            measured = Measured(facts=self.facts(), usual=self.notes.facts)
            if verdict.decision != "hold":
                try:
                    measured = self.judge()
                except JobError as error:  # the loss became NaN
                    measured = replace(measured, failure=str(error))
                    verdict = gate(measured, self.limits, accept=self.accept)
            with self._step("seal") as facts:
                release = None
                if verdict.decision != "hold":
                    verdict, release, measured = self._sealed(measured)
                facts |= {
                    "verdict": verdict.to_json(),
                    "release": release,
                    "measured": measured.to_json(),
                }
        release = self.steps.read("seal")["release"]
        return None if release is None else self.registry.open(release)

    def measured(self) -> Measured:
        """All that the verdict rests on; before ``seal`` that is the window's facts."""
        if not self.steps.has("seal"):
            return Measured(facts=self.facts(), usual=self.notes.facts)
        return Measured.from_json(self.steps.read("seal")["measured"], self.notes.facts)

    def _sealed(self, measured: Measured) -> tuple[Verdict, str, Measured]:
        done = next((m for m in self.registry.releases() if self._made_here(m)), None)
        if done is not None:  # sealed by a run that died before it could say so
            told = Measured.from_json(done.metrics["refresh"], self.notes.facts)
            return Verdict.from_json(done.gate), done.release, told
        if has_ranker(self.parent):
            self.say(
                f"The ranker of {self.parent.manifest.release} is not carried on: what it knows is "
                "as of its own instant. `03_train_two_tower -p ranker=true` learns a new one"
            )
        with self.registry.draft() as draft:
            candidate = self._candidate()
            bound = candidate.write(draft, self._next_notes())
            of_files = candidate.measured(draft)
            broken = (*measured.broken, *of_files.pop("broken"))
            measured = replace(measured, broken=broken, **of_files)
            verdict = gate(measured, self.limits, accept=self.accept)
            manifest = candidate.manifest(
                key=self.folder.name,
                created=self.steps.read("decides")["begun"],
                bound=bound,
                verdict=verdict,
                measured=measured,
            )
            sealed = seal_release(self.registry, draft, manifest)
        return verdict, sealed.manifest.release, measured

    def publish(self) -> Outcome:
        """Make the candidate current where the gate lets it pass; write down how it ended.

        Raises:
            JobError: the registry has gone on from the parent meanwhile.
        """
        if not self.steps.has(OUTCOME):
            outcome = self._published()
            payload = {
                "data": self.log.name,
                "finished": datetime.now(UTC).isoformat(),
                "outcome": outcome.to_json(),
            }
            self.steps.write(OUTCOME, payload)
            self._tidy()
        return Outcome.from_json(self.steps.read(OUTCOME)["outcome"])

    def _published(self) -> Outcome:
        release, verdict = self.seal(), self.verdict()
        current = self.registry.current()
        own = None if release is None else release.manifest.release
        if current not in {self.parent.manifest.release, own}:
            raise JobError(
                f"The current release is {current} by now, no longer "
                f"{self.parent.manifest.release}: this refresh is out of date, start another one"
            )
        if verdict.decision == "publish" and own is not None:
            self.registry.publish(own)
        elif verdict.roll_back is not None:
            self.registry.publish(verdict.roll_back)
        return Outcome(
            decision=verdict.decision,
            reasons=tuple(str(reason) for reason in verdict.reasons),
            release=own,
            current=str(self.registry.current()),
            done=self.done(),
        )

    def _tidy(self) -> None:
        """Old releases go, and weights of refreshes that have ended."""
        self.registry.prune(keep=self.settings.keep, protect=needed_by(self.registry))
        for place in self.folder.parent.glob(f"*/{UPDATED}"):
            if place.parent != self.folder and Steps(place.parent).has(OUTCOME):
                place.unlink(missing_ok=True)

    def skip(self, reason: str) -> Outcome:
        """Leave the parent in place, and say why."""
        parent = self.parent.manifest.release
        return Outcome(
            decision="skip", reasons=(reason,), release=None, current=parent, done=self.done()
        )

    def run(self) -> Outcome:
        """All steps, one process at a time; a second one waits and then finds them done."""
        with one_at_a_time(self.folder.parent):
            if self.steps.has(OUTCOME):
                return self._done_before()
            if self.is_empty:
                return self.skip(NOTHING_NEW)
            worth, why = self._is_worth_it()
            self.say(why)
            return self.publish() if worth else self.skip(why)

    def _done_before(self) -> Outcome:
        """How it ended; that its release is no longer served, where somebody went back from it."""
        outcome, current = self.publish(), self.registry.current()
        if current is None or current == outcome.current:
            return outcome
        reason = (
            f"it was done before, but {current} is served since: publish {outcome.release} by "
            "`recbench releases publish`, or wait for new events"
        )
        return replace(outcome, decision="skip", reasons=(reason,), current=current)

    def why(self) -> str:
        """What is expected of this refresh, in words."""
        if self.is_empty:
            return NOTHING_NEW
        return self._is_worth_it()[1]

    def costs(self, what: str = "cpu_s") -> dict[str, float]:
        """CPU seconds of each step that was done; its ``joules``, where they were counted."""
        steps = ("read", "update", "judge", "seal")
        told = {step: self.steps.read(step) for step in steps if self.steps.has(step)}
        return {step: held[what] for step, held in told.items() if what in held}

    def losses(self) -> list[float]:
        """Of the update's steps; empty where there was none."""
        return list(self.steps.read("update")["losses"]) if self.steps.has("update") else []

    # Parts

    def _is_worth_it(self) -> tuple[bool, str]:
        least, most = self.settings.least_gain, self.settings.most_cpu_s
        return is_worth_it(self.forecast(), least_gain=least, most_cpu_s=most)

    def done(self) -> Done:
        """What came and what was spent, for later forecasts."""
        facts = self.facts()
        gain = self.measured().gain if self.steps.has("seal") else None
        gain = None if gain is None or not gain.other else gain
        return Done(
            n_events=facts.n_events,
            share=self._share,
            gain=None if gain is None else gain.relative,
            gain_error=gain.relative_error if gain is not None else None,
            cpu_s=sum(self.costs().values()),
            joules=sum(self.costs("joules").values()) or None,
            ndcg_gain=None if gain is None else gain.difference,
            predicted=self.forecast() if self.steps.has("forecast") else None,
        )

    @property
    def _share(self) -> float:
        n = self.facts().n_events
        return n / max(1, n + self.n_before)

    def judge_of_window(self) -> Judge:
        """What sets exams to models of this log."""
        return Judge(
            self.log.protocol, DEFAULT_WINDOW_FEATURES, self.experiment.features.history_length
        )

    def _tombstones(self, state: LearnedState) -> npt.NDArray[np.int64]:
        return state.tombstones(idle_us=self.settings.idle_days * 86_400e6)

    def _new_towers(self, content: ItemContent) -> TwoTower:
        return towers_for(content, self.experiment)

    def _past_of(self, users: pl.Series) -> pl.DataFrame:
        return self.log.of_users(users.unique(), before=self.state.at)

    def _state_of(self, release: str | None) -> LearnedState | None:
        """The state of an earlier release with the parent's catalogue; None where it is gone."""
        if release is None or release == self.parent.manifest.release:
            return None
        try:
            folder = self.registry.open(release).folder
        except ReleaseError:
            self.say(f"Release {release} is gone or damaged: nothing is compared with it")
            return None
        state, _ = read_state(folder, self._new_towers)
        return state.grown_to(self.log.items, self.state.items)

    def _advance(self, plan: UpdatePlan) -> Advanced:
        return advance(
            self.state, self.events, to=self.to, items=self.log.items, past=self._past_of, plan=plan
        )

    def _next_notes(self) -> Notes:
        return self.notes.after(
            self.facts(),
            parent=self.parent.manifest.release,
            n_known=self.n_before + self.facts().n_events,
            evidence=self.judge().evidence,
            steps=self.judge().steps,
            margin=self.limits.margin,
            level=self.limits.level,
        )

    def _candidate(self) -> Candidate:
        state = self._advanced.state
        return Candidate(
            log=self.log,
            parent=self.parent,
            state=state,
            events=self.events,
            past=self._past_of,
            hidden=self._tombstones(state),
            settings=self.settings,
            history_length=self.experiment.features.history_length,
            export=self.experiment.export,
            new_towers=self._new_towers,
        )

    @contextmanager
    def _step(self, name: str) -> Iterator[dict[str, Any]]:
        self.say(name)
        with self.steps.timed(name) as facts:
            yield facts

    def _made_here(self, manifest: Manifest) -> bool:
        refresh = manifest.settings.get("refresh") or {}
        return bool(refresh.get("key") == self.folder.name)


def _part(held: dict[str, Any], part: str) -> dict[str, Any]:
    return {n.removeprefix(f"{part}/"): t for n, t in held.items() if n.startswith(f"{part}/")}
