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

from recbench.errors import JobError, ReleaseError
from recbench.files import one_at_a_time
from recbench.jobs.code_digest import code_digest
from recbench.jobs.cost import joules_so_far
from recbench.jobs.outcomes import OUTCOME, REFRESHES, Outcome, past_refreshes
from recbench.jobs.refresh_judged import judged
from recbench.jobs.refresh_plan import instant_of, plan_of
from recbench.jobs.refresh_sealed import sealed_candidate
from recbench.jobs.refresh_update import UPDATED, kept_update, restored_update
from recbench.jobs.refresh_window import RefreshWindow
from recbench.jobs.steps import Steps
from recbench.refresh import Registry, Release
from recbench.refresh.advance import Advanced, UpdatePlan, advance
from recbench.refresh.facts import WindowFacts
from recbench.refresh.forecast import Done, Forecast, forecast, is_worth_it
from recbench.refresh.gate import Limits, Measured, Verdict, gate
from recbench.refresh.stored import needed_by
from recbench.settings import RefreshSettings
from recbench.tables.lake_log import LakeLog

__all__ = ["Refresh", "asked"]

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
    def window(self) -> RefreshWindow:
        """The parent, and what has come since."""
        idle_days, say = self.settings.idle_days, self.say
        return RefreshWindow(self.log, self.registry, self.parent, self.to, idle_days, say)

    def facts(self) -> WindowFacts:
        """What the window looks like."""
        return WindowFacts.from_json(self.steps.once("read", lambda: self.window.facts().to_json()))

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
        if not self.steps.has("update"):
            with self._step("update") as facts:
                done = self._advance(self.plan)
                facts |= kept_update(done, self.folder)
            return done
        return restored_update(
            self.folder,
            self.steps.read("update"),
            without_steps=lambda: self._advance(replace(self.plan, steps=0)),
        )

    @property
    def plan(self) -> UpdatePlan:
        """How much is learned, by the parent's dials and the refresh's own."""
        return plan_of(self.window.experiment, self.settings, protocol=self.log.protocol)

    def judge(self) -> Measured:
        """Everything that is measured before there are files."""
        if not self.steps.has("judge"):
            done = self.update()
            with self._step("judge") as facts:
                margin = self.limits.margin
                facts |= judged(self.window, done, facts=self.facts(), margin=margin).to_json()
        return Measured.from_json(self.steps.read("judge"), self.window.notes.facts)

    # What is made of it

    def verdict(self) -> Verdict:
        """The gate's, on the input alone where that already speaks against the refresh."""
        if self.steps.has("seal"):
            return Verdict.from_json(self.steps.read("seal")["verdict"])
        return self._of_input()

    def _of_input(self) -> Verdict:
        measured = Measured(facts=self.facts(), usual=self.window.notes.facts)
        return gate(measured, self.limits, accept=self.accept)

    def seal(self) -> Release | None:
        """The candidate as a release that is not yet the current one; None where there is none."""
        if not self.steps.has("seal"):
            verdict = self._of_input()
            measured = Measured(facts=self.facts(), usual=self.window.notes.facts)
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
            return Measured(facts=self.facts(), usual=self.window.notes.facts)
        return Measured.from_json(self.steps.read("seal")["measured"], self.window.notes.facts)

    def _sealed(self, measured: Measured) -> tuple[Verdict, str, Measured]:
        return sealed_candidate(
            self.window,
            self._advanced,
            measured,
            facts=self.facts(),
            settings=self.settings,
            limits=self.limits,
            accept=self.accept,
            key=self.folder.name,
            created=self.steps.read("decides")["begun"],
        )

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
        current = self.registry.current()
        return Outcome.of(verdict, release=own, current=current, done=self.done())

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
            n_judged=None if gain is None else gain.n_users,
            cpu_s=sum(self.costs().values()),
            joules=sum(self.costs("joules").values()) or None,
            ndcg_gain=None if gain is None else gain.difference,
            predicted=self.forecast() if self.steps.has("forecast") else None,
        )

    @property
    def _share(self) -> float:
        n = self.facts().n_events
        return n / max(1, n + self.window.n_before)

    def _advance(self, plan: UpdatePlan) -> Advanced:
        new, items = self.window, self.log.items
        return advance(new.state, new.events, to=self.to, items=items, past=new.past_of, plan=plan)

    @contextmanager
    def _step(self, name: str) -> Iterator[dict[str, Any]]:
        self.say(name)
        with self.steps.timed(name) as facts:
            yield facts
