"""Marginalised IPS: weights of what items have in common, for catalogues too large for items."""

import numpy as np
import numpy.typing as npt
from scipy.cluster.vq import kmeans2

from recbench.errors import InputError
from recbench.evaluation.off_policy.feedback import Feedback, TargetPolicy

__all__ = ["cells_of", "marginal_rounds"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def cells_of(embeddings: npt.NDArray[np.floating], n_cells: int, *, seed: int = 0) -> Ints:
    """(A,) the cell of each item: k-means over embeddings (A, D).

    Raises:
        InputError: fewer than two cells, or more than items.
    """
    if not 2 <= n_cells <= len(embeddings):
        raise InputError(f"`n_cells` must lie in [2, {len(embeddings)}], got {n_cells}")
    points = np.asarray(embeddings, dtype=np.float64)
    _, cells = kmeans2(points, n_cells, minit="++", seed=seed, missing="warn")
    return cells.astype(np.int64)


def marginal_rounds(
    feedback: Feedback, cells: Ints, *, actions: Ints, logging: Floats, target: Floats
) -> tuple[Feedback, TargetPolicy]:
    """The log and the policy with cells for actions; any estimator of single rounds takes them.

    Unbiased as far as the reward depends on an item through its cell (and the context) alone, and
    then also where an item was never logged but its cell was.

    Args:
        feedback: of items.
        cells: (A,) of each item.
        actions: (N,) logged items, in [0, A).
        logging: (N, A) chances under the logging policy.
        target: (N, A) under the other one.

    Source: Saito and Joachims, "Off-policy evaluation for large action spaces via embeddings", ICML
    2022.
    """
    n_cells = int(cells.max()) + 1
    onto = np.zeros((len(cells), n_cells))
    onto[np.arange(len(cells)), cells] = 1.0
    by_cell, own = logging @ onto, cells[actions]
    rounds = Feedback(
        rewards=feedback.rewards,
        propensities=np.minimum(by_cell[np.arange(len(own)), own], 1.0),
        units=feedback.units,
        reward_range=feedback.reward_range,
    )
    return rounds, TargetPolicy.of_dense(target @ onto, own, logging=by_cell)
