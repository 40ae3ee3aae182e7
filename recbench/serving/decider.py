"""A running service's policy: it re-ranks what was retrieved, by a snapshot that it renews.

The snapshot and the release that is served are made ready together, beside the requests, and are
one reference: a list is decided by one pair of them, or by the tower alone.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError
from recbench.policy.bandits import scores_of
from recbench.policy.constraints import ExposureFloor
from recbench.policy.context import context_dim, tower_context
from recbench.policy.decision import DecidedList, DecisionDials, decided_list
from recbench.policy.item_counts import N_RATES, ItemCounts
from recbench.policy.logged_context import encoded_contexts
from recbench.policy.off_switch import OffSwitch
from recbench.policy.snapshot import Snapshot
from recbench.serving.answer import Answer, Chances, Floored
from recbench.serving.protected import FloorDial, Protected, protected_items
from recbench.serving.requests import AskedList
from recbench.serving.served_release import Retrieved, ServedRelease

__all__ = ["Decider"]

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]
Features = npt.NDArray[np.floating]
Ints = npt.NDArray[np.int64]
EXTRA = 50  # protected candidates at most, of those beside what is retrieved
BURST = 20  # slots by which the budget may be overdrawn for a while


@dataclass(frozen=True, slots=True, eq=False)
class _Ready:
    """What lists of one release are decided by."""

    release_id: str
    further: Floats  # (n_items, 2) rates by the snapshot
    snapshot: Snapshot | None  # None: scores are the tower's
    protected: Protected | None


class Decider:
    """Decides lists; as long as there is a file at ``off_switch``, the tower does.

    Args:
        dials: rule and budget.
        snapshot: of a learner, looked at by ``is_stale``; need not exist yet. None: scores are the
            tower's, and only the floor and the budget are this one's.
        floor: a least share of slots for some items.
        off_switch: a path; whoever makes a file there ends all of it within half a second.
        rng: of requests and draws.
        clock: seconds, of which only differences matter.
    """

    def __init__(
        self,
        dials: DecisionDials,
        *,
        snapshot: Path | None = None,
        floor: FloorDial | None = None,
        off_switch: Path | None = None,
        rng: np.random.Generator | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.dials, self.path, self.floor_dial = dials, snapshot, floor
        self.floor = None if floor is None else ExposureFloor(least=floor.least)
        self.refused: str | None = ""  # why the snapshot does not decide; empty before a look
        self.n_slots = self.n_strayed = 0
        self.given_up = 0.0  # by the scores, for the floor's sake
        self._switch = OffSwitch(off_switch, what="The policy", clock=clock)
        self._rng = np.random.default_rng() if rng is None else rng
        self._by_rule = replace(dials, epsilon=0.0)
        self._ready: _Ready | None = None
        self._seen: tuple[int, int] | None = None

    def is_stale(self, release: ServedRelease | None) -> bool:
        """Whether ``renew`` has something to do; takes microseconds."""
        if release is None:
            return False
        ready = self._ready
        return ready is None or ready.release_id != release.id or self._changed() != self._seen

    def renew(self, release: ServedRelease) -> None:
        """Make ready for this release what the snapshot says now.

        A snapshot that cannot be used is told in the log, and the tower's order stays.
        """
        seen = self._changed()
        snapshot, counts = self._usable(release)
        further = counts.rates(release.items.ids)
        protected = None
        if self.floor_dial is not None:
            before = self._ready
            is_same = before is not None and before.release_id == release.id
            kept = before.protected if is_same and before is not None else None
            protected = kept or protected_items(release, self.floor_dial.kind)
        self._ready = _Ready(release.id, further, snapshot, protected)
        self._seen = seen

    def widened(self, asked: AskedList) -> AskedList:
        """The request as it is, or for more items, where the policy decides."""
        if self._switch.is_off or self._rng.random() >= self.dials.traffic:
            return asked
        return replace(asked, k=max(asked.k, self.dials.candidates), drawn_k=asked.k)

    def list_of(self, release: ServedRelease, asked: AskedList, answer: Answer) -> Answer:
        """The list for a widened request; the tower's where nothing is ready for this release."""
        assert asked.drawn_k is not None
        k, ready, made = asked.drawn_k, self._ready, answer.made
        is_ready = ready is not None and ready.release_id == release.id
        if ready is None or not is_ready or made is None or self._switch.is_off:
            return replace(answer, item_ids=answer.item_ids[:k], scores=answer.scores[:k])
        rows, retrieved = made.rows, answer.scores
        is_free = self._is_free()
        if ready.protected is not None and not is_free:
            rows, retrieved = self._with_protected(release, ready.protected, asked, answer)
        candidates = release.candidate_embeddings[rows]
        features = tower_context(made.query, candidates, ready.further[rows])
        scores = self._scores(ready.snapshot, features, retrieved)
        protected = None if ready.protected is None else ready.protected.is_protected[rows]
        found = self._decided(scores, k, protected, is_free=is_free)
        chosen, floor = found.places, None
        if protected is not None and self.floor_dial is not None:
            free = self.floor_dial.free
            floor = Floored(not is_free, free if is_free else 1 - free, protected[chosen].tolist())
        chances = Chances(
            [None if np.isnan(chance) else chance for chance in found.propensities.tolist()],
            [None] * len(chosen),
            self.dials.least_propensity,
            encoded_contexts(features[chosen]),
            release.fit,
            floor,
        )
        return replace(
            answer,
            item_ids=release.items.ids[rows[chosen]].tolist(),
            scores=retrieved[chosen],
            chances=chances,
        )

    def counts(self) -> dict[str, float]:
        """What the metrics tell of it, by their names."""
        floor, ready = self.floor, self._ready
        snapshot = None if ready is None or self._switch.is_off else ready.snapshot
        return {
            "recbench_policy_decides": float(snapshot is not None),
            "recbench_policy_events": 0.0 if snapshot is None else snapshot.n_events,
            "recbench_policy_slots_total": self.n_slots,
            "recbench_policy_strayed_total": self.n_strayed,
            "recbench_floor_slots_total": 0 if floor is None else floor.n_protected,
            "recbench_floor_given_up_total": self.given_up,
        }

    def _is_free(self) -> bool:
        """Whether the next list is made as if there were no floor."""
        free = 0.0 if self.floor_dial is None else self.floor_dial.free
        return free > 0 and self._rng.random() < free

    def _decided(
        self, scores: Floats, k: int, protected: npt.NDArray[np.bool_] | None, *, is_free: bool
    ) -> DecidedList:
        overdrawn = self.n_strayed >= self.dials.at_most * self.n_slots + BURST
        dials = self._by_rule if overdrawn else self.dials
        if self.floor is None or protected is None or is_free:
            found = decided_list(scores, k, dials, self._rng)
        else:
            spread = float(scores.std()) or 1.0  # the price is in units of it
            priced = self.floor.priced(scores / spread, protected)
            found = decided_list(
                priced, k, dials, self._rng, allowed=self.floor.may_draw(protected)
            )
            best = np.sort(scores)[::-1][: len(found.places)]
            self.given_up += float(best.sum() - scores[found.places].sum())
        if self.floor is not None and protected is not None:  # also what is free of it counts
            self.floor.shown(protected[found.places])
        self.n_slots += len(found.places)
        self.n_strayed += found.n_strayed
        return found

    def _scores(self, snapshot: Snapshot | None, features: Features, tower: Features) -> Floats:
        if snapshot is None:
            return np.asarray(tower, dtype=np.float64)
        seen, dials = snapshot.represented(features), self.dials
        return scores_of(snapshot.posterior, seen, dials.rule, scale=dials.scale, rng=self._rng)

    def _with_protected(
        self, release: ServedRelease, protected: Protected, asked: AskedList, answer: Answer
    ) -> Retrieved:
        """Candidates with the best of the protected ones, which filters bind as they do others."""
        made = answer.made
        assert made is not None
        barred = np.concatenate([made.rows, made.excluded])
        if asked.categories is not None:
            barred = np.concatenate(
                [barred, release.rows_outside(asked.categories, protected.rows)]
            )
        found, scores = protected.best(made.query, k=EXTRA, barred=barred)
        return np.concatenate([made.rows, found]), np.concatenate([answer.scores, scores])

    def _usable(self, release: ServedRelease) -> tuple[Snapshot | None, ItemCounts]:
        """What decides: None for the tower; and how often items were shown."""
        none = ItemCounts(half_life_us=1.0)
        if self.path is None or not self.path.exists():
            return None, none
        try:
            snapshot = Snapshot.read(self.path, towers=release.fit)
        except InputError as error:
            self._say(str(error))
            return None, none
        dim = context_dim(release.candidate_embeddings.shape[1], N_RATES)
        if snapshot.dim not in {0, dim}:
            self._say(
                f"{self.path} was learnt from contexts of {snapshot.dim} numbers, those of release "
                f"{release.id} have {dim}: begin a new one (`recbench policy learn --out`)"
            )
            return None, none
        if snapshot.n_events and snapshot.towers != release.fit:
            learnt_on = snapshot.towers or "towers that its exposures do not name"
            self._say(
                f"{self.path} has learnt on {learnt_on}, and release {release.id} has the towers "
                f"of the fit {release.fit}: the learner goes on with what is shown from now on"
            )
            return None, snapshot.counts
        if snapshot.n_events < max(self.dials.least_events, 1):
            self._say(f"{self.path} has learnt from {snapshot.n_events:.0f} decisions only")
            return None, snapshot.counts
        if not snapshot.reward_sum:
            self._say(f"no reward came for any of {snapshot.n_events:.0f} decisions: {self.path}")
            return None, snapshot.counts
        self._say(None)
        return snapshot, snapshot.counts

    def _say(self, why: str | None) -> None:
        """When it begins or ends to decide, and at the first look."""
        if why is None and self.refused is not None:
            logger.warning("The policy of %s decides", self.path)
        elif why is not None and self.refused in {None, ""}:
            logger.warning("The tower decides: %s", why)
        self.refused = why

    def _changed(self) -> tuple[int, int] | None:
        if self.path is None:
            return None
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return None
        return stat.st_ino, stat.st_mtime_ns
