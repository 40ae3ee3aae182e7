"""What each refresh gained over the release before it, on the requests that it answered."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from recbench.jobs.freshness.arms import Arm, release_arm
from recbench.jobs.freshness.experiment import Freshness
from recbench.jobs.freshness.tracks import made_over
from recbench.jobs.freshness.walk import Learner, Scene, best_list, histories_of, seen_of, with_ends
from recbench.jobs.freshness.worth import waiting_clicks
from recbench.refresh.cadence import Cadence, Made, Release
from recbench.refresh.forecast import Done

__all__ = ["gains_of"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def gains_of(done: Freshness, name: str, cadence: Cadence) -> list[Done]:
    """A model's releases at one cadence through the experiment's test, one after another.

    Gains are shares of one figure, the NDCG of all requests by the release before the one that
    answered: within a quiet quarter of an hour it may be next to nothing, and a share of that
    anything.

    Args:
        done: the experiment.
        name: of a model.
        cadence: of its releases.
    """
    arm, scene, found = release_arm(cadence), done.scene, []
    with done.releasing_model(name) as (begin, make):
        line, _ = made_over(
            cadence, scene.stream, scene.within, begin=begin, make=make, stopwatch=scene.stopwatch
        )
        before: Made[Learner] | None = None
        for made, until in with_ends(line):
            batch = np.arange(*np.searchsorted(scene.asked.ts, [made.release.served_from, until]))
            if before is not None:
                found.append(_Answered.by(before, made, batch, arm, scene))
            before = made
    every = np.concatenate([each.old for each in found]) if found else np.empty(0)
    base = float(every.mean()) if len(every) else 0.0
    return [each.done(scene, base) for each in found]


@dataclass(frozen=True, slots=True, eq=False)
class _Answered:
    """What a release answered, and what the one before it would have."""

    before: Release
    made: Release
    new: Floats  # (Q,) NDCG
    old: Floats  # (Q,)

    @classmethod
    def by(
        cls, before: Made[Learner], made: Made[Learner], batch: Ints, arm: Arm, scene: Scene
    ) -> Self:
        new, old = (
            _ndcg(each.state, batch, arm, scene, behind=behind)
            for behind, each in enumerate((made, before))
        )
        return cls(before.release, made.release, new, old)

    def done(self, scene: Scene, base: float) -> Done:
        """Its gain as a share of ``base``; None of fewer than two requests."""
        n_known = int(scene.stream.n_known(self.made.watermark))
        came = waiting_clicks(scene.stream, self.before.watermark, self.made.watermark)
        told = len(self.old) > 1 and base > 0
        gained = self.new - self.old
        error = float(gained.std(ddof=1) / np.sqrt(len(gained))) if told else 0.0
        return Done(
            n_events=came,
            share=came / n_known,
            gain=float(gained.mean()) / base if told else None,
            gain_error=error / base if told else None,
            cpu_s=self.made.cost.cpu_s,
            ndcg_gain=float(gained.mean()) if told else None,
            n_judged=len(gained),
        )


def _ndcg(model: Learner, batch: Ints, arm: Arm, scene: Scene, *, behind: int) -> Floats:
    if not len(batch):
        return np.empty(0)
    scores = model.scores(histories_of(batch, arm.history, scene))
    seen = seen_of(batch, arm.history, scene)
    rows = best_list(scores, batch, arm, scene, prior=model.prior, seen=seen, behind=behind)
    hit = rows == scene.asked.item_rows[batch][:, None]
    gains: Floats = np.where(hit, 1 / np.log2(np.arange(2, scene.k + 2)), 0.0).sum(axis=1)
    return gains
