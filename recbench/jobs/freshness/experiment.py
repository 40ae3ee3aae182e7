"""The experiment: every model and arm over the same test, kept in a folder as it goes."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from recbench import columns as c
from recbench.errors import InputError
from recbench.files import write_json
from recbench.jobs.freshness.arms import Arm
from recbench.jobs.freshness.asked import Asked, Stretch, stretches
from recbench.jobs.freshness.lists import Shelf
from recbench.jobs.freshness.plan import SLOW, FreshnessPlan
from recbench.jobs.freshness.releasing import Releasing, keeps_quality
from recbench.jobs.freshness.store import Store
from recbench.jobs.freshness.tracks import Track, instants_of, made_over, measured
from recbench.jobs.freshness.tune import tune_blend
from recbench.jobs.freshness.walk import Learner, Scene, Walked, walk
from recbench.models.streaming.blend import Blend, BlendDials
from recbench.models.streaming.popular import FadingPopularity
from recbench.models.streaming.retrained import (
    NextItemCounters,
    OnlyPopular,
    RetrainedEASE,
    RetrainedItemKNN,
)
from recbench.progress import bar
from recbench.refresh import Registry
from recbench.refresh.cadence import Cadence, Made
from recbench.settings import Experiment
from recbench.tables.click_stream import ClickStream
from recbench.tables.log import EventLog

if TYPE_CHECKING:
    from recbench.jobs.freshness.two_tower import TwoTowerStart

__all__ = ["SHARED", "Freshness"]

SHARED = "shared"  # owner of what does not depend on the model


@dataclass(frozen=True, eq=False)
class Freshness:
    """One log, one plan, one folder; ``run`` does what is not there yet."""

    log: EventLog
    plan: FreshnessPlan
    folder: Path
    stopwatch: Any = field(
        default_factory=lambda: measured()
    )  # of each release; tests give a fixed one
    making: Any = Releasing  # of a release; tests give what writes nothing
    dials: BlendDials | None = None  # of ours; None: chosen on what is before the test
    towers: Experiment = field(default_factory=Experiment)  # of the two-tower's first release

    @classmethod
    def of(cls, log: EventLog, plan: FreshnessPlan, folder: Path, **more: Any) -> Self:
        """The experiment, after a look at whether the log can answer it.

        Raises:
            InputError: it cannot, or the folder holds another experiment.
        """
        made = cls(log, plan, folder, **more)
        plan.check_span(log, start=made.start, end=made.end)
        return made

    @cached_property
    def stream(self) -> ClickStream:
        """All clicks of the log."""
        return ClickStream.of(self.log.events)

    @cached_property
    def start(self) -> int:
        """Where the test begins, microseconds."""
        events = self.log.events
        at = events[c.TS][int(self.plan.from_share * len(events))]
        instant: int = round(at.timestamp() * 1e6)
        return instant

    @cached_property
    def end(self) -> int:
        """Just after the last event, microseconds."""
        return round(self.log.watermark.timestamp() * 1e6) + 1

    @cached_property
    def store(self) -> Store:
        """The folder."""
        facts: dict[str, object] = {
            "log": self.log.name,
            "protocol": self.log.protocol,
            "plan": repr(self.plan),
        }
        return Store.open(self.folder, key=self.plan.key(self.log), facts=facts)

    @cached_property
    def within(self) -> tuple[Stretch, ...]:
        """The parts of the test that are asked about."""
        timed = self.plan.timed
        found = stretches(
            self.stream,
            start=self.start,
            end=self.end,
            length=int(timed[-1].every_us or 0),
            finest=int(timed[0].every_us or 0),
            most=self.plan.most_refreshes,
        )
        return tuple(found)

    @cached_property
    def asked(self) -> Asked:
        """What every arm is asked."""
        plan = self.plan
        return Asked.of(
            self.log, self.stream, [*self.within], most=plan.most_requests, seed=plan.seed
        )

    @cached_property
    def chosen(self) -> BlendDials:
        """The dials of ours, from before the test; kept, so that they are chosen once."""
        if self.dials is not None:
            return self.dials
        place = self.folder / "dials.json"
        if not place.exists():
            before = self.log.until(self.start)
            write_json(place, asdict(tune_blend(before, k=self.plan.k, seed=self.plan.seed)))
        return BlendDials(**json.loads(place.read_text(encoding="utf-8")))

    @cached_property
    def models(self) -> dict[str, Callable[[Path], Learner]]:
        """How each model of the plan begins, before the first click, with a place for files."""
        stream, n_items = self.stream, len(self.stream.items)
        known: dict[str, Callable[[Path], Learner]] = {
            "ours": lambda _: Blend.nothing(stream, self.chosen),
            "counters": lambda _: NextItemCounters.nothing(stream),
            "popularity": lambda _: OnlyPopular(n_items),
            "itemknn": lambda _: RetrainedItemKNN(),
            "ease": lambda _: RetrainedEASE(n_items),
            "two-tower": lambda place: self._two_tower.begun(place),
        }
        return {name: known[name] for name in self.plan.models}

    def run(self) -> Self:
        """Walk every model through every cadence of its weights; finished parts are kept."""
        self.store.keep_asked(self.asked)
        scene = self.scene  # made before there is a bar, whose time left it would confuse
        parts = [
            (name, cadence)
            for name in reversed(self.models)  # the slowest first, so that the time left shrinks
            for cadence in dict.fromkeys(arm.weights for arm in self.plan.arms_of(name))
            if self.store.track(name, "weights", cadence, self.within) is None
        ]
        n_made = [1 + len(instants_of(each, self.stream, self.within)[0]) for _, each in parts]
        with bar(sum(n_made), label="freshness", unit="release") as done:
            for (name, cadence), n in zip(parts, n_made, strict=True):
                done.set_description(f"{name} {cadence}", refresh=False)
                before = done.n
                arms = [arm for arm in self.plan.arms_of(name) if arm.weights == cadence]
                self.keep_walk(name, cadence, arms, scene, on_release=done.update)
                done.update(before + n - done.n)  # what queued is not made after the end
        return self

    def keep_walk(
        self, name: str, cadence: Cadence, arms: list[Arm], scene: Scene, **more: Any
    ) -> Walked:
        """Walk a model through some arms and keep what it showed; see `walk`."""
        with self.releasing_model(name) as (begin, make):
            walked = walk(begin, cadence, arms, scene, make=make, **more)
        self.store.keep(name, walked, self.asked, self.stream.items, k=self.plan.k)
        return walked

    @contextmanager
    def releasing_model(
        self, name: str
    ) -> Iterator[tuple[Learner, Callable[[Learner, int], Learner | None]]]:
        """A model before the first click, and what makes releases of it while this is open."""
        stream = self.stream
        with (
            self.releasing(
                lambda state, to: state.learned(stream, to=to),
                lambda state: state.parts(),
                None if name in SLOW else partial(keeps_quality, stream=stream),
            ) as make,
            TemporaryDirectory(dir=self.folder, prefix=".model-") as place,
        ):
            yield self.models[name](Path(place)), make

    @cached_property
    def _two_tower(self) -> "TwoTowerStart":
        from recbench.jobs.freshness.two_tower import TwoTowerStart  # it brings torch

        return TwoTowerStart(
            self.log, self.stream, self.start, self.folder / "two-tower", self.towers
        )

    @contextmanager
    def releasing(self, learn: Any, parts: Any, passes: Any = None) -> Iterator[Any]:
        """What makes releases into a registry of their own, which is gone afterwards."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=self.folder, prefix=".registry-") as place:
            registry, log = Registry(Path(place)), self.log
            yield self.making(registry, log.name, log.protocol, learn, parts, passes).make

    def weights(self, model: str, cadence: Cadence) -> Track:
        """The releases of a model's weights."""
        found = self.store.track(model, "weights", cadence, self.within)
        if found is None:
            raise InputError(f"{model!r} was not yet walked at {cadence}; call `run` first")
        return found

    @cached_property
    def scene(self) -> Scene:
        """What all models share: histories, statistics and index at each cadence."""
        tracks: dict[tuple[str, Cadence], Track] = {}
        shelves: dict[Cadence, Shelf] = {}
        for arm in self.plan.arms:
            for dial in ("history", "index"):
                cadence = getattr(arm, dial)
                if (dial, cadence) not in tracks:
                    tracks[dial, cadence] = self._shared(dial, cadence)[0]
            if arm.statistics not in shelves:
                track, states = self._shared("statistics", arm.statistics)
                tracks["statistics", arm.statistics] = track
                shares = np.stack([state.shares for state in states])
                shelves[arm.statistics] = Shelf(shares, self.stream.first_known)
        return Scene(
            self.stream,
            self.asked,
            self.within,
            shelves,
            tracks,
            self.log.repeats,
            self.plan.k,
            self.stopwatch,
        )

    def _shared(self, dial: str, cadence: Cadence) -> tuple[Track, list[Any]]:
        """The releases of a dial that all models share, with what each holds."""
        begin, learn, _ = self.makers[dial]
        held = self.store.track(SHARED, dial, cadence, self.within)
        if held is not None:
            states, state = [], begin
            for release in held.releases:
                state = learn(state, release.watermark)
                states.append(state)
            return held, states
        track, states = self.made(dial, cadence, self.within)
        self.store.keep_track(SHARED, dial, track)
        return track, states

    def made(
        self, dial: str, cadence: Cadence, within: tuple[Stretch, ...], **more: Any
    ) -> tuple[Track, list[Any]]:
        """The releases of a dial that all models share, made now; see `made_over`."""
        begin, learn, parts = self.makers[dial]
        with self.releasing(learn, parts) as make:
            line, n_empty = made_over(
                cadence,
                self.stream,
                within,
                begin=begin,
                make=make,
                stopwatch=self.stopwatch,
                **more,
            )
            made: list[Made[Any]] = [*line]
        released = tuple(each.release for each in made)
        return Track(cadence, released, n_empty, within), [each.state for each in made]

    @cached_property
    def makers(self) -> Mapping[str, tuple[Any, Callable[[Any, int], Any], Callable[[Any], Any]]]:
        """By dial: what there is before the first click, how it learns, and what is written."""
        stream, n_items = self.stream, len(self.stream.items)
        popularity = FadingPopularity.nothing(n_items, half_life_s=self.chosen.half_life_s)
        return {
            # a user's clicks in order, and where each one's end
            "history": (
                None,
                lambda _, to: np.bincount(stream.user_rows[: stream.n_known(to)]),
                lambda ends: {"ends": ends},
            ),
            "statistics": (
                popularity,
                lambda state, to: state.learned(stream, to=to),
                lambda state: {"shares": state.shares},
            ),
            "index": (
                None,
                lambda _, to: np.flatnonzero(stream.first_known < to),
                lambda rows: {"item_rows": rows},
            ),
        }
