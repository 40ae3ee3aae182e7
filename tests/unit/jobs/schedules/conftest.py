"""A schedule every quarter of an hour, and a clock that is set."""

from datetime import UTC, datetime, timedelta

import pytest

from recbench.jobs.schedules.schedule import Schedule
from recbench.jobs.schedules.state import State
from recbench.jobs.schedules.times import Every

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.fixture
def noon():
    """The instant at which schedules of tests are made."""
    return NOON


@pytest.fixture
def quarterly(tmp_path):
    """Makes a schedule every quarter of an hour, otherwise as told."""

    def make(**options):
        chosen = {
            "name": "refresh",
            "notebook": str(tmp_path / "n.ipynb"),
            "times": Every(900),
            "directory": str(tmp_path),
            "runs": str(tmp_path / "runs"),
            "created_at": NOON,
        }
        return Schedule(**(chosen | options))

    return make


@pytest.fixture
def fresh():
    """The state of a schedule made at noon."""
    return State(handled_until=NOON)


@pytest.fixture
def minutes():
    """``minutes(n)``: the instant n minutes after noon."""
    return lambda n: NOON + timedelta(minutes=n)
