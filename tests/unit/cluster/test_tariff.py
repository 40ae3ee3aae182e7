"""Price, carbon and power by the hour, from a table by hand."""

import math
from datetime import UTC, datetime

import pytest

from recbench.cluster.scaling import ClusterState, DueWork, Hour, ScalingPolicy
from recbench.cluster.tariff import TariffFile, read_tariff
from recbench.errors import InputError

DAILY = """from,price,carbon_g_per_kwh,power_w
07:00,0.12,410,
22:00,0.06,300,35
"""


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "tariff.csv"
        path.write_text(text)
        return path

    return write


def at(said):
    return datetime.fromisoformat(said).replace(tzinfo=UTC)


def test_times_of_day_come_again_every_day_and_the_night_began_the_day_before(written):
    hours = read_tariff(written(DAILY)).hours(at("2026-11-28T06:30"))
    # half an hour of night is left, then fifteen hours of day, nine of night
    assert hours[0] == Hour(1800.0, 0.06, 300.0, 35.0)
    assert hours[1] == Hour(15 * 3600.0, 0.12, 410.0, math.inf)
    assert hours[2].seconds == 9 * 3600.0
    assert sum(hour.seconds for hour in hours) >= 48 * 3600


def test_instants_are_a_forecast_whose_last_row_holds_for_an_hour(written):
    table = "from,price\n2026-11-28T07:00Z,0.1\n2026-11-28T09:00+01:00,0.2\n"
    tariff = read_tariff(written(table))
    assert tariff.hours(at("2026-11-28T07:45")) == (Hour(900.0, 0.1), Hour(3600.0, 0.2))
    assert tariff.hours(at("2026-11-28T08:59")) == (Hour(60.0, 0.2),)
    assert tariff.hours(at("2026-11-28T09:00")) == ()  # nobody knows
    assert tariff.hours(at("2026-11-28T06:59")) == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "got none"),
        ("from,prize\n07:00,1\n", "got from, prize"),
        ("from,price\n", "has no rows"),
        ("from,price\n7 am,1\n", "line 2: `from` must be a time of day .* got '7 am'"),
        ("from,price\n07:00,1\n08:00,-2\n", "line 3: `price` must be a number .* got '-2'"),
        ("from,price\n07:00,\n", "`price` must be a number from 0 on, got ''"),
        ("from,price,power_w\n07:00,1,nan\n", "`power_w` .* got 'nan'"),
        ("from,price\n07:00,1\n2026-11-28T08:00Z,2\n", "in all rows alike"),
        ("from,price\n07:00,1\n06:00,2\n", "06:00:00 must not come after 07:00:00"),
    ],
)
def test_a_table_that_cannot_be_is_refused_with_its_line(written, text, said):
    with pytest.raises(InputError, match=said):
        read_tariff(written(text))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere.csv"):
        read_tariff(tmp_path / "nowhere.csv")


def test_a_file_written_anew_counts_at_once_and_a_broken_one_not(written, caplog):
    told = TariffFile(written("from,price\n00:00,0.1\n"))
    assert told()[0].price == 0.1
    written("from,price\n00:00,0.2\n")
    assert told()[0].price == 0.2
    written("half a li")
    assert told()[0].price == 0.2
    assert "half a li" in caplog.text


def test_its_power_limits_the_policy(written):
    hours = read_tariff(written(DAILY)).hours(at("2026-11-28T23:00"))
    state = ClusterState(
        n_ready=2,
        n_starting=0,
        n_busy=0,
        idle_s=(),
        work=(DueWork(work_s=36_000.0, due_s=900.0, n_tasks=600),),
        startup_s=10.0,
        hours=hours,
    )
    # 36,000 s of work within minutes ask for all 64; 35 W at 3.5 W a worker allow ten
    assert ScalingPolicy().target(state) == 10
