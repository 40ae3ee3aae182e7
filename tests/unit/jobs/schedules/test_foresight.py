import json

import pytest

from recbench.jobs.schedules.foresight import Expected, Foresight, why_begun

LOW_AT_1330 = "from,price\n00:00,0.4\n13:30,0.1\n14:30,0.4\n"
WHY = "a worker-hour costs 0.1 then, 0.4 now"


@pytest.fixture
def tariff(tmp_path):
    path = tmp_path / "tariff.csv"
    path.write_text(LOW_AT_1330)
    return path


@pytest.fixture
def patient(quarterly, tariff):
    """Times have three hours; a run takes ten minutes unless told otherwise."""
    return lambda **options: quarterly(
        **({"within_s": 10_800, "takes_s": 600, "tariff": str(tariff)} | options)
    )


def test_a_time_that_may_not_wait_begins_when_it_is_due(quarterly, minutes):
    assert Foresight()(quarterly(), minutes(15), minutes(16)) == Expected(minutes(15))


def test_a_time_waits_for_the_cheap_hour_before_and_after_it_is_due(patient, minutes):
    for now in (minutes(0), minutes(15), minutes(60)):
        assert Foresight()(patient(), minutes(15), now) == Expected(minutes(90), WHY)
    assert Foresight()(patient(), minutes(15), minutes(91)) == Expected(minutes(15))


def test_what_cannot_be_done_in_the_cheap_hour_in_time_does_not_wait(patient, minutes):
    # due at 12:15, to be done by 13:45, half an hour to spare: 13:30 is too late
    schedule = patient(within_s=5400)
    assert Foresight()(schedule, minutes(15), minutes(15)) == Expected(minutes(15))


def test_a_forecast_is_read_again_after_ten_minutes(patient, minutes, tariff):
    foresight = Foresight()
    assert foresight(patient(), minutes(15), minutes(15)).at == minutes(90)
    tariff.write_text("from,price\n00:00,0.1\n13:30,0.4\n")
    assert foresight(patient(), minutes(15), minutes(20)).at == minutes(90)
    assert foresight(patient(), minutes(15), minutes(25)).at == minutes(15)


def test_a_tariff_that_has_gone_holds_nothing_back(patient, minutes, tariff):
    tariff.unlink()
    assert Foresight()(patient(), minutes(15), minutes(15)) == Expected(minutes(15))


def test_what_nobody_knows_the_length_of_does_not_wait(patient, minutes):
    assert Foresight()(patient(takes_s=None), minutes(15), minutes(15)) == Expected(minutes(15))


def test_a_run_takes_as_long_as_lately(patient, minutes, tmp_path):
    folder = tmp_path / "runs" / "20261128T100000Z-n-000000"
    folder.mkdir(parents=True)
    facts = {"run": folder.name, "notebook": "n.ipynb", "notebook_sha256": "", "parameters": {}}
    facts |= {"status": "succeeded", "started_at": "2026-11-28T10:00:00+00:00"}
    (folder / "manifest.json").write_text(json.dumps(facts | {"duration_s": 600.0}))
    assert Foresight()(patient(takes_s=None), minutes(15), minutes(15)).at == minutes(90)


def test_it_says_why_a_time_was_begun(patient, quarterly, minutes):
    assert why_begun(patient(), minutes(15), minutes(90)) == (
        "after 1:15:00: a worker-hour costs 0.1, 0.4 when it was due"
    )
    assert why_begun(patient(), minutes(15), minutes(15)).startswith("at once: a worker-hour")
    assert why_begun(quarterly(), minutes(15), minutes(90)) is None
