"""What tests of simulations share."""

import numpy as np
import pytest

from recbench.datasets.world.protocol import Clicks, Exposures, NewItems
from recbench.datasets.world.settings import WorldSettings


@pytest.fixture(scope="session")
def little():
    """Half a day of forty users: worlds that are run in a tenth of a second."""
    return WorldSettings(days=0.5, n_users=40, n_live=60, item_half_life_h=6.0, slate=5)


@pytest.fixture(scope="session")
def exposures():
    """Makes exposures of (user, item, hour)."""

    def made(*rows):
        users, items, hours = (np.array(column) for column in zip(*rows, strict=True))
        n = np.arange(len(rows))
        return Exposures(n, users, items, n * 0, hours.astype(float), np.ones(len(rows)))

    return made


@pytest.fixture(scope="session")
def clicks():
    """Makes clicks of exposures, known so many hours after them."""

    def made(of, *, after_h=0.0):
        return Clicks(of, np.ones(len(of)), of.hours + after_h)

    return made


@pytest.fixture(scope="session")
def new_items():
    """Makes items of the categories."""

    def made(*categories, first=0):
        n = len(categories)
        ids = np.arange(first, first + n)
        return NewItems(ids, np.array(categories), np.zeros(n), np.ones(n))

    return made
