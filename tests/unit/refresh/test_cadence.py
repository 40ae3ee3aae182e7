import numpy as np
import pytest

from recbench.errors import InputError
from recbench.refresh.cadence import Cadence, Cost, releases, ticks

HOUR = 3_600_000_000


def made(instants, *, wall_s, end):
    return [
        each.release
        for each in releases(
            np.array(instants),
            start=0,
            end=end,
            begin=0,
            make=lambda state, to: (state + 1, Cost(wall_s=wall_s)),
        )
    ]


def test_a_cadence_is_read_from_its_text():
    assert Cadence.of("15m").every_us == 900_000_000
    assert Cadence.of("never").every_us is None
    assert str(Cadence.of("event")) == "event (ideal)"
    with pytest.raises(InputError, match="got '0m'"):
        Cadence.of("0m")
    with pytest.raises(InputError, match="got 'soon'"):
        Cadence.of("soon")


def test_ticks_without_anything_new_are_left_out_and_counted():
    # clicks at 0.5 h and 2.5 h: of four ticks the second and the last bring nothing
    clicks = np.array([HOUR // 2, 5 * HOUR // 2])

    found, n_empty = ticks(
        Cadence.of("1h"), start=0, end=5 * HOUR, n_known=lambda at: np.searchsorted(clicks, at)
    )

    assert found.tolist() == [HOUR, 3 * HOUR]
    assert n_empty == 2


def test_who_comes_while_a_release_is_made_waits_and_keeps_its_watermark():
    # 90 minutes each: the second waits half an hour, the third a whole one
    found = made([HOUR, 2 * HOUR, 3 * HOUR], wall_s=5400.0, end=9 * HOUR)

    assert [release.watermark // HOUR for release in found] == [0, 1, 2, 3]
    assert [release.served_from / HOUR for release in found] == [0.0, 2.5, 4.0, 5.5]
    assert [release.waited_s for release in found] == [0.0, 0.0, 1800.0, 3600.0]


def test_releases_that_could_not_be_begun_in_time_are_not_made():
    found = made([HOUR, 2 * HOUR, 3 * HOUR], wall_s=5400.0, end=4 * HOUR)

    assert [release.watermark // HOUR for release in found] == [0, 1, 2]
