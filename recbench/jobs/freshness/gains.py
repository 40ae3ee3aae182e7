"""What each refresh gained over the release before it, on the requests that it answered."""

import numpy as np
import numpy.typing as npt

from recbench.jobs.freshness.arms import Arm, release_arm
from recbench.jobs.freshness.experiment import Freshness
from recbench.jobs.freshness.tracks import made_over
from recbench.jobs.freshness.walk import Learner, Scene, best_list, histories_of, seen_of, with_ends
from recbench.jobs.freshness.worth import waiting_clicks
from recbench.refresh.cadence import Cadence, Made
from recbench.refresh.forecast import Done

__all__ = ["gains_of"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def gains_of(done: Freshness, name: str, cadence: Cadence) -> list[Done]:
    """A model's releases at one cadence through the experiment's test, one after another.

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
                found.append(_gain(before, made, batch, arm, scene))
            before = made
    return found


def _gain(before: Made[Learner], made: Made[Learner], batch: Ints, arm: Arm, scene: Scene) -> Done:
    new, old = (
        _ndcg(each.state, batch, arm, scene, behind=behind)
        for behind, each in enumerate((made, before))
    )
    n_known = int(scene.stream.n_known(made.release.watermark))
    came = waiting_clicks(scene.stream, before.release.watermark, made.release.watermark)
    gain, error = _relative(new, old)
    return Done(
        n_events=came,
        share=came / n_known,
        gain=gain,
        gain_error=error,
        cpu_s=made.release.cost.cpu_s,
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


def _relative(new: Floats, old: Floats) -> tuple[float | None, float | None]:
    """The mean gain as a share of the old mean, and its standard error; None of too few."""
    if len(old) < 2 or not old.mean():
        return None, None
    gained = (new - old) / old.mean()
    return float(gained.mean()), float(gained.std(ddof=1) / np.sqrt(len(gained)))
