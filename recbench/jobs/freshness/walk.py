"""One model through the test at one cadence of its weights, for all arms that share it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recbench.jobs.freshness.arms import Arm
from recbench.jobs.freshness.asked import Asked, Stretch
from recbench.jobs.freshness.lists import Scores, Shelf, best_items, scores_of
from recbench.jobs.freshness.releasing import Arrays
from recbench.jobs.freshness.tracks import Stopwatch, Track, made_over
from recbench.models.streaming.kernels import history_weights
from recbench.refresh.cadence import Cadence, Made
from recbench.tables.click_stream import ClickStream, Histories

__all__ = [
    "Learner",
    "Scene",
    "Walked",
    "best_list",
    "histories_of",
    "seen_of",
    "walk",
    "with_ends",
]

Ints = npt.NDArray[np.int64]

REQUESTS_AT_ONCE = 512
HISTORY = 200  # newest clicks that a model is asked about
MASKED = 1_000  # newest clicks whose items are not shown again


class Learner(Protocol):
    """What is refreshed: immutable, each refresh gives the next one."""

    @property
    def prior(self) -> float:
        """The weight of popularity's shares beside ``scores``."""
        ...

    def learned(self, stream: ClickStream, *, to: int) -> Self | None:
        """The same with the clicks that were known before ``to``, microseconds.

        None where a gate of its own holds it back.
        """
        ...

    def scores(self, histories: Histories) -> Scores:
        """(Q, n_items); sparse and >= 0, or dense."""
        ...

    def parts(self) -> Arrays:
        """What a release serves by."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What all models and arms share."""

    stream: ClickStream
    asked: Asked
    within: tuple[Stretch, ...]
    shelves: Mapping[Cadence, Shelf]  # statistics by cadence
    tracks: Mapping[tuple[str, Cadence], Track]  # of all dials but the weights
    repeats: bool
    k: int
    stopwatch: "Stopwatch[Learner]"


@dataclass(frozen=True, slots=True, eq=False)
class Walked:
    """What each arm would have shown, and the releases of the weights."""

    lists: dict[Arm, Ints]  # (R, k) item rows, -1 at the end
    places: dict[Arm, Ints]  # flat, as `Asked.shown`: the rank of each item that was shown
    track: Track


def walk(
    model: Learner,
    cadence: Cadence,
    arms: Sequence[Arm],
    scene: Scene,
    *,
    make: Callable[[Learner, int], Learner | None],
    choose: Callable[[Ints], npt.NDArray[np.bool_]] | None = None,
    on_release: Callable[[], object] = lambda: None,
) -> Walked:
    """Every release answers what is asked while it serves, before the next one.

    Args:
        model: before the first click.
        cadence: of its weights, and of those of all ``arms``.
        arms: differ in their other dials.
        scene: the test.
        make: from a model and an instant, the next one, published; None: held back.
        choose: which instants are worth a release; default: all.
        on_release: called after each has answered.
    """
    asked = scene.asked
    lists = {arm: np.full((len(asked), scene.k), -1, dtype=np.int64) for arm in arms}
    places = {arm: np.zeros(len(asked.shown), dtype=np.int64) for arm in arms}
    line, n_empty = made_over(
        cadence,
        scene.stream,
        scene.within,
        begin=model,
        make=make,
        stopwatch=scene.stopwatch,
        choose=choose,
    )
    kept = []
    for made, until in with_ends(line):
        kept.append(made.release)
        served = made.release.served_from, until
        low, high = np.searchsorted(asked.ts, served)
        for start in range(low, high, REQUESTS_AT_ONCE):
            batch = np.arange(start, min(start + REQUESTS_AT_ONCE, high))
            for arm, found, placed in _answers(made.state, batch, arms, scene):
                lists[arm][batch] = found
                places[arm][asked.shown_starts[start] : asked.shown_starts[batch[-1] + 1]] = placed
        on_release()
    return Walked(lists, places, Track(cadence, tuple(kept), n_empty, scene.within))


def with_ends(line: Iterator[Made[Learner]]) -> Iterator[tuple[Made[Learner], float]]:
    """Each release with the instant at which the next one serves."""
    held = None
    for made in line:
        if held is not None:
            yield held, made.release.served_from
        held = made
    if held is not None:
        yield held, np.inf


def _answers(
    model: Learner, batch: Ints, arms: Sequence[Arm], scene: Scene
) -> Iterator[tuple[Arm, Ints, Ints]]:
    for history in dict.fromkeys(arm.history for arm in arms):
        sharing = [arm for arm in arms if arm.history == history]
        histories = histories_of(batch, history, scene)
        scores = model.scores(histories)
        seen = seen_of(batch, history, scene)
        for arm in sharing:
            found = best_list(scores, batch, arm, scene, prior=model.prior, seen=seen)
            yield arm, found, _placed(scores, batch, arm, scene, prior=model.prior)


def histories_of(
    batch: Ints, history: Cadence, scene: Scene, *, length: int = HISTORY
) -> Histories:
    """What a batch of requests knows of its users, the ``length`` newest clicks."""
    asked, stream = scene.asked, scene.stream
    known_before = scene.tracks["history", history].known_before(asked.ts[batch])
    n_known = stream.n_known(known_before)
    found = stream.histories(asked.user_rows[batch], n_known, length=length)
    return replace(found, at=asked.ts[batch], known_before=known_before)


def seen_of(batch: Ints, history: Cadence, scene: Scene) -> sparse.csr_matrix | None:
    """(B, n_items) what is not shown again to a batch of requests; None where everything may be."""
    if scene.repeats:
        return None
    longer = histories_of(batch, history, scene, length=MASKED)
    return history_weights(longer, n_items=len(scene.stream.items), fade=0.0)


def best_list(
    scores: Scores,
    batch: Ints,
    arm: Arm,
    scene: Scene,
    *,
    prior: float,
    seen: sparse.csr_matrix | None = None,
    behind: int = 0,
) -> Ints:
    """(B, k) what an arm shows to a batch of requests.

    Args:
        scores: of what was learned.
        batch: (B,) positions among the requests.
        arm: says how fresh statistics and index are.
        scene: the test.
        prior: weight of popularity.
        seen: what is not shown again.
        behind: releases; statistics and index of so many before the one that serves.
    """
    ts = scene.asked.ts[batch]
    statistics, index = (scene.tracks[dial, getattr(arm, dial)] for dial in ("statistics", "index"))
    return best_items(
        scores,
        scene.shelves[arm.statistics],
        prior=prior,
        statistics=np.maximum(statistics.serving(ts) - behind, 0),
        known_before=index.watermarks[np.maximum(index.serving(ts) - behind, 0)],
        seen=seen,
        k=scene.k,
    )


def _placed(scores: Scores, batch: Ints, arm: Arm, scene: Scene, *, prior: float) -> Ints:
    """The rank of each item that was shown, within its request."""
    asked = scene.asked
    starts = asked.shown_starts[batch[0] : batch[-1] + 2]
    columns = asked.shown[starts[0] : starts[-1]]
    if not len(columns):
        return columns
    owner = np.repeat(np.arange(len(batch)), np.diff(starts))
    statistics = scene.tracks["statistics", arm.statistics].serving(asked.ts[batch])
    values = scores_of(
        scores,
        scene.shelves[arm.statistics],
        prior=prior,
        statistics=statistics,
        owner=owner,
        columns=columns,
    )
    order = np.lexsort((columns, -values, owner))
    ranks = np.empty(len(columns), dtype=np.int64)
    ranks[order] = np.arange(len(columns)) - np.repeat(starts[:-1] - starts[0], np.diff(starts)) + 1
    return ranks
