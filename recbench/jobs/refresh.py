"""One refresh as a job: each step leaves its result, so that a killed run goes on after the last.

read -> (forecast) -> update -> judge -> seal (with the gate's verdict) -> publish. The folder of a
refresh is named after what decides its outcome: parent release, lake version, dials and code.
"""

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import polars as pl
from safetensors.torch import load_file, save_file

from recbench import __version__
from recbench import columns as c
from recbench.errors import InputError, JobError, ReleaseError
from recbench.features.batch import window_lookup
from recbench.features.shipped import DEFAULT_WINDOW_FEATURES
from recbench.files import one_at_a_time, sha256_of, whole_file, write_json
from recbench.jobs.build import towers_for
from recbench.jobs.publish import GRAPH, PARITY_QUERIES, bind
from recbench.models.content import ItemContent
from recbench.models.two_tower import TwoTower
from recbench.refresh import Manifest, Registry, Release
from recbench.refresh.advance import Advanced, UpdatePlan, advance
from recbench.refresh.evidence import Evidence
from recbench.refresh.examine import examine, further_evidence
from recbench.refresh.facts import WindowFacts, window_facts
from recbench.refresh.forecast import Done, Forecast, calibration, forecast, is_worth_it
from recbench.refresh.gate import Limits, Measured, Verdict, gate
from recbench.refresh.judge import Judge, drift_between, recommender_of
from recbench.refresh.notes import Notes
from recbench.refresh.state import LearnedState
from recbench.refresh.stored import STATE, read_state
from recbench.refresh.update import Rates
from recbench.refresh.verify import broken_parts
from recbench.runtime.onnx import OnnxQueryTower
from recbench.settings import Experiment, RefreshSettings
from recbench.tables.lake_log import LakeLog, as_instant
from recbench.tables.log import Protocol
from recbench.tables.queries import InteractionLog, Queries
from recbench.training.objective import Objective

__all__ = [
    "Outcome",
    "Refresh",
    "asked",
    "code_digest",
    "instant_of",
    "needed_by",
    "past_refreshes",
    "plan_of",
    "summary",
]

FOLDER = "refreshes"
OUTCOME = "outcome.json"
UPDATED = "updated.safetensors"
LATENCY_REQUESTS = 50
NOTHING_NEW = "no event has come since the parent's watermark"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a refresh ended."""

    decision: str  # publish, hold, full rebuild, skip
    reasons: tuple[str, ...]
    release: str | None  # what was sealed
    current: str  # what is served now
    done: Done

    def to_json(self) -> dict[str, Any]:
        """For the refresh's folder."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, held: dict[str, Any]) -> Self:
        """What ``to_json`` gave."""
        done, reasons = Done.from_json(held["done"]), tuple(held["reasons"])
        return cls(**(held | {"done": done, "reasons": reasons}))


def plan_of(experiment: Experiment, settings: RefreshSettings, *, protocol: Protocol) -> UpdatePlan:
    """How much a refresh learns, by the dials of the full fit and its own."""
    training = experiment.training
    return UpdatePlan(
        protocol=protocol,
        window_features=DEFAULT_WINDOW_FEATURES,
        history_length=experiment.features.history_length,
        steps=settings.steps,
        seconds=settings.seconds,
        batch_size=training.batch_size,
        n_uniform=training.n_uniform,
        id_dropout=training.id_dropout,
        n_replay=settings.n_replay,
        rates=Rates(dense=settings.dense_rate, tables=settings.rate, router=settings.router_rate),
        objective=Objective(
            loss=training.loss,
            watch_weight=training.watch_weight,
            parent_weight=settings.parent_weight,
        ),
        seed=experiment.seed,
    )


def instant_of(log: LakeLog, text: str) -> int | None:
    """Where a log is to end, microseconds since the epoch; None for an empty text.

    Args:
        log: what shares are of.
        text: a share such as ``"0.99"``, or a time in ISO 8601.

    Raises:
        InputError: neither.
    """
    if not text:
        return None
    try:
        share = float(text)
    except ValueError:
        try:
            at = datetime.fromisoformat(text)
        except ValueError as error:
            raise InputError(
                f"`until` must be a share of the log such as 0.99, or a time in ISO 8601: {text!r}"
            ) from error
        return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1e6)
    if not 0 < share <= 1:
        raise InputError(f"`until` must be a share in (0, 1] or a time, got {text!r}")
    return log.instant_at(share) if share < 1 else None


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
    )


def summary(outcome: "Outcome", past: Sequence["Outcome"]) -> dict[str, Any]:
    """What a run is remembered by."""
    done = outcome.done
    held = {
        f"forecast/{name}": value for name, value in calibration([o.done for o in past]).items()
    }
    return {
        "decision": outcome.decision,
        "release": outcome.release,
        "current": outcome.current,
        "n_events": done.n_events,
        "cpu_s": done.cpu_s,
        **({} if done.gain is None else {"gain": done.gain}),
        **held,
    }


def past_refreshes(workspace: Path, *, data: str) -> list[Outcome]:
    """Every finished refresh of a log that the workspace remembers, the oldest first."""
    found = []
    for path in (workspace / FOLDER).glob(f"*/{OUTCOME}"):
        held = json.loads(path.read_text(encoding="utf-8"))
        if held["data"] == data:
            found.append((held["finished"], Outcome.from_json(held["outcome"])))
    return [outcome for _, outcome in sorted(found, key=lambda each: each[0])]


def needed_by(registry: Registry) -> set[str]:
    """The releases that the current one is compared with, and rolled back to."""
    current = registry.open(verify=False)
    if STATE not in current.manifest.files:  # made by hand: nothing refreshes it
        return set()
    held = json.loads(current.path(STATE).read_text(encoding="utf-8"))
    notes = Notes.from_json(held["notes"])
    return {release for release in (notes.full, notes.anchor) if release is not None}


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
        folder = workspace / FOLDER / key
        made = cls(log, registry, parent, settings, limits, to, folder, tuple(accept), say)
        made._once("decides", lambda: decides)
        return made

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

        return WindowFacts.from_json(self._once("read", found))

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
        held = self._once(
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
        if not self._has("update"):
            with self._timed("update") as facts:
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
        held, told = load_file(place), self._read("update")
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
        if not self._has("judge"):
            self.update()
            with self._timed("judge") as facts:
                facts |= self._judged().to_json()
        return Measured.from_json(self._read("judge"), self.notes.facts)

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
            evidence=self._evidence(),
            total_drift=self._total_drift(),
            grown_share=1 - self.notes.n_items_full / len(done.state.items),
        )

    def _evidence(self) -> Evidence | None:
        """What the window says of the parent against its anchor, with everything before it."""
        anchor = self._state_of(self.notes.anchor)
        if anchor is None:
            return None
        return further_evidence(
            self.notes.evidence or Evidence(self.limits.margin),
            parent=self.state,
            anchor=anchor,
            events=self.events,
            past=self._past_of,
            judge=self.judge_of_window(),
            hidden=self._tombstones,
        )

    def _total_drift(self) -> float:
        full, now = self._state_of(self.notes.full), self._advanced.state
        if full is None:
            return 0.0
        full = full.grown_to(self.log.items, now.items)
        then, own = self.judge_of_window().models(
            [full.towers, now.towers], now.items, now.popularity, self.events.head(0)
        )
        return drift_between(then, own)

    # What is made of it

    def verdict(self) -> Verdict:
        """The gate's, on the input alone where that already speaks against the refresh."""
        if self._has("seal"):
            return Verdict.from_json(self._read("seal")["verdict"])
        return self._of_input()

    def _of_input(self) -> Verdict:
        measured = Measured(facts=self.facts(), usual=self.notes.facts)
        return gate(measured, self.limits, accept=self.accept)

    def seal(self) -> Release | None:
        """The candidate as a release that is not yet the current one; None where there is none."""
        if not self._has("seal"):
            verdict = self._of_input()
            measured = Measured(facts=self.facts(), usual=self.notes.facts)
            if verdict.decision != "hold":
                try:
                    measured = self.judge()
                except JobError as error:  # the loss became NaN
                    measured = replace(measured, failure=str(error))
                    verdict = gate(measured, self.limits, accept=self.accept)
            with self._timed("seal") as facts:
                release = None
                if verdict.decision != "hold":
                    verdict, release, measured = self._sealed(measured)
                facts |= {
                    "verdict": verdict.to_json(),
                    "release": release,
                    "measured": measured.to_json(),
                }
        release = self._read("seal")["release"]
        return None if release is None else self.registry.open(release)

    def measured(self) -> Measured:
        """All that the verdict rests on; before ``seal`` that is the window's facts."""
        if not self._has("seal"):
            return Measured(facts=self.facts(), usual=self.notes.facts)
        return Measured.from_json(self._read("seal")["measured"], self.notes.facts)

    def _sealed(self, measured: Measured) -> tuple[Verdict, str, Measured]:
        done = next((m for m in self.registry.releases() if self._made_here(m)), None)
        if done is not None:  # sealed by a run that died before it could say so
            told = Measured.from_json(done.metrics["refresh"], self.notes.facts)
            return Verdict.from_json(done.gate), done.release, told
        with self.registry.draft() as draft:
            parity = self._bind(draft)
            measured = replace(measured, **self._of_files(draft))
            verdict = gate(measured, self.limits, accept=self.accept)
            sealed = self.registry.seal(draft, self._manifest(parity, verdict, measured))
        return verdict, sealed.manifest.release, measured

    def _bind(self, draft: Path) -> dict[str, float]:
        state = self._advanced.state
        asked, events = self._asked
        window = window_lookup(events, DEFAULT_WINDOW_FEATURES)
        earlier, since = self._remembered()
        model = recommender_of(
            state.towers,
            state.items,
            state.popularity,
            window,
            history_length=self.experiment.features.history_length,
            hidden=self._tombstones(state),
        )
        return bind(
            draft,
            state,
            model,
            item_features=self.log.items,
            events=since,
            notes=self._next_notes(),
            metrics=self.parent.manifest.metrics,
            asked=asked,
            earlier=earlier,
            previous=self.parent.path(GRAPH),
        )

    def _remembered(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The parent's, without users long gone; the window, with the past of who is back."""
        held = pl.read_parquet(self.parent.path("interactions.parquet"))
        here = self.events[c.USER_ID].unique()
        oldest = as_instant(self.to) - timedelta(days=self.settings.idle_days)
        stays = (pl.col(c.TS).max().over(c.USER_ID) >= oldest) | pl.col(c.USER_ID).is_in(
            here.implode()
        )
        back = here.filter(~here.is_in(held[c.USER_ID].unique().implode()))
        return held.filter(stays), pl.concat([self._past_of(back), self.events], how="diagonal")

    def _of_files(self, draft: Path) -> dict[str, Any]:
        """What can only be measured of files."""
        asked, events = self._asked
        broken = broken_parts(
            draft,
            parent=self.parent.folder,
            new_towers=self._new_towers,
            exported=lambda folder, n: OnnxQueryTower(folder / GRAPH, n_items=n),
            asked=asked,
            events=events,
            history_length=self.experiment.features.history_length,
        )
        size = sum(path.stat().st_size for path in draft.iterdir())
        before = sum(facts["bytes"] for facts in self.parent.manifest.files.values())
        return {
            "broken": tuple(broken),
            "latency_ms": self._latency_ms(draft / GRAPH),
            "size_ratio": size / before,
        }

    def _latency_ms(self, graph: Path) -> float:
        tower = OnnxQueryTower(graph, n_items=len(self._advanced.state.items))
        length = self.experiment.features.history_length
        one = (
            np.zeros((1, length), dtype=np.int64),
            np.zeros((1, length), dtype=np.float32),
            np.zeros((1, length), dtype=np.float32),
            np.zeros((1, len(DEFAULT_WINDOW_FEATURES)), dtype=np.float32),
        )
        took = []
        for _ in range(LATENCY_REQUESTS):
            begun = time.perf_counter()
            tower(*one)
            took.append(time.perf_counter() - begun)
        return float(np.median(took)) * 1e3

    def _manifest(self, parity: dict[str, float], verdict: Verdict, measured: Measured) -> Manifest:
        parent = self.parent.manifest
        watermark = self.events[c.TS].max() if len(self.events) else parent.watermark
        settings = parent.settings | {
            "refresh": {"key": self.folder.name, "number": self._advanced.state.number}
            | dataclasses.asdict(self.settings)
        }
        return Manifest(
            release="",
            created=self._begun,
            data=self.log.name,
            protocol=self.log.protocol,
            watermark=str(watermark),
            lake_version=self.log.version,
            parent=parent.release,
            gate=verdict.to_json(),
            metrics=parent.metrics | {"refresh": measured.to_json()},
            settings=settings,
            parity=parity,
            code={"version": __version__},
        )

    def publish(self) -> Outcome:
        """Make the candidate current where the gate lets it pass; write down how it ended.

        Raises:
            JobError: the registry has gone on from the parent meanwhile.
        """
        if not self._has("outcome"):
            outcome = self._published()
            payload = {
                "data": self.log.name,
                "finished": datetime.now(UTC).isoformat(),
                "outcome": outcome.to_json(),
            }
            write_json(self.folder / OUTCOME, payload)
            self._tidy()
        return Outcome.from_json(self._read("outcome")["outcome"])

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
        elif verdict.roll_back and self.notes.anchor is not None:
            self.registry.publish(self.notes.anchor)
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
            if place.parent != self.folder and (place.parent / OUTCOME).exists():
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
            if self._has("outcome"):
                return self.publish()
            if self.is_empty:
                return self.skip(NOTHING_NEW)
            worth, why = self._is_worth_it()
            self.say(why)
            return self.publish() if worth else self.skip(why)

    def why(self) -> str:
        """What is expected of this refresh, in words."""
        if self.is_empty:
            return NOTHING_NEW
        return self._is_worth_it()[1]

    def costs(self) -> dict[str, float]:
        """CPU seconds of each step that was done."""
        steps = ("read", "update", "judge", "seal")
        return {step: self._read(step)["cpu_s"] for step in steps if self._has(step)}

    def losses(self) -> list[float]:
        """Of the update's steps; empty where there was none."""
        return list(self._read("update")["losses"]) if self._has("update") else []

    # Parts

    def _is_worth_it(self) -> tuple[bool, str]:
        least, most = self.settings.least_gain, self.settings.most_cpu_s
        return is_worth_it(self.forecast(), least_gain=least, most_cpu_s=most)

    def done(self) -> Done:
        """What came and what was spent, for later forecasts."""
        facts = self.facts()
        gain = self.measured().gain if self._has("seal") else None
        gain = None if gain is None or not gain.other else gain
        return Done(
            n_events=facts.n_events,
            share=self._share,
            gain=None if gain is None else gain.relative,
            gain_error=gain.relative_error if gain is not None else None,
            cpu_s=sum(self.costs().values()),
            predicted=self.forecast() if self._has("forecast") else None,
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

    @cached_property
    def _asked(self) -> tuple[Queries, pl.DataFrame]:
        """Requests of the window's users as of now, and their events."""
        users = self.events[c.USER_ID].unique(maintain_order=True)[:PARITY_QUERIES]
        window = self.events.filter(pl.col(c.USER_ID).is_in(users.implode()))
        known = pl.concat([self._past_of(users), window], how="diagonal")
        state = self._advanced.state
        log = InteractionLog.from_events(known, items=state.items)
        return log.queries(users, state.at), known

    def _next_notes(self) -> Notes:
        notes, evidence = self.notes, self.judge().evidence
        own = self.parent.manifest.release
        shown = evidence is None or evidence.is_not_worse(level=self.limits.level)
        return Notes(
            facts=[*notes.facts, self.facts()],
            n_known=self.n_before + self.facts().n_events,
            n_items_full=notes.n_items_full,
            full=notes.full or own,
            # the parent has shown itself, or the line starts with it
            anchor=own if shown else notes.anchor,
            evidence=Evidence(self.limits.margin) if shown else evidence,
        )

    def _made_here(self, manifest: Manifest) -> bool:
        refresh = manifest.settings.get("refresh") or {}
        return bool(refresh.get("key") == self.folder.name)

    @property
    def _begun(self) -> str:
        """When this refresh first began: part of the id of what it makes."""
        return str(self._read("decides")["begun"])

    # Steps

    def _has(self, step: str) -> bool:
        return (self.folder / f"{step}.json").exists()

    def _read(self, step: str) -> Any:
        return json.loads((self.folder / f"{step}.json").read_text(encoding="utf-8"))

    def _once(self, step: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The step's result, made only if it is not there."""
        if not self._has(step):
            begun, cpu = datetime.now(UTC).isoformat(timespec="seconds"), time.process_time()
            result = make()
            spent = time.process_time() - cpu
            payload = {"begun": begun, "cpu_s": spent, "result": result}
            write_json(self.folder / f"{step}.json", payload)
        held: dict[str, Any] = self._read(step)["result"]
        return held

    @contextmanager
    def _timed(self, step: str) -> Iterator[dict[str, Any]]:
        """Collects the step's result, and writes it with its cost once it is complete."""
        self.say(step)
        facts: dict[str, Any] = {}
        begun, cpu = time.perf_counter(), time.process_time()
        yield facts
        spent = {"seconds": time.perf_counter() - begun, "cpu_s": time.process_time() - cpu}
        write_json(self.folder / f"{step}.json", facts | spent)


def code_digest() -> str:
    """Of the package's own source: other code may come to another outcome."""
    root = Path(__file__).parents[1]
    files = sorted(path for path in root.rglob("*.py"))
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(root)} {sha256_of(path)}\n".encode())
    return digest.hexdigest()[:16]


def _part(held: dict[str, Any], part: str) -> dict[str, Any]:
    return {n.removeprefix(f"{part}/"): t for n, t in held.items() if n.startswith(f"{part}/")}
