import numpy as np
import pytest

from recbench.errors import InputError
from recbench.evaluation.off_policy import Feedback, ips
from recbench.evaluation.off_policy.marginal import cells_of, marginal_rounds


def test_cells_are_clusters_of_embeddings():
    centres = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    which = np.arange(30) % 3
    points = centres[which] + np.random.default_rng(0).normal(size=(30, 2), scale=0.1)
    cells = cells_of(points, 3)
    assert len({(int(w), int(c)) for w, c in zip(which, cells, strict=True)}) == 3
    with pytest.raises(InputError, match=r"\[2, 30\], got 31"):
        cells_of(points, 31)


def test_item_that_was_never_logged_is_told_by_its_cell():
    """Items 0 and 1 share a cell and a mean; the log shows item 0 only."""
    rng = np.random.default_rng(1)
    n, cells = 100_000, np.array([0, 0, 1])
    logging, target = np.array([0.5, 0.0, 0.5]), np.array([0.0, 0.9, 0.1])
    actions = rng.choice(3, size=n, p=logging)
    rewards = (rng.random(n) < np.array([0.6, 0.6, 0.2])[actions]).astype(float)
    rounds, policy = marginal_rounds(
        Feedback.of_rounds(rewards, logging[actions]),
        cells,
        actions=actions,
        logging=np.tile(logging, (n, 1)),
        target=np.tile(target, (n, 1)),
    )
    # .9 * .6 + .1 * .2 = .56; weights 1.8 and .2: four standard errors below 4 * 1.8 / sqrt(n)
    assert ips(rounds, policy).value == pytest.approx(0.56, abs=0.023)
    assert policy.supported is not None
    assert policy.supported.min() == 1
