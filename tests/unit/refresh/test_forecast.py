"""Forecasts before anything is spent, and how well they hold."""

from dataclasses import replace

import numpy as np
import pytest

from recbench.refresh.forecast import Done, Forecast, calibration, forecast, is_worth_it


def done(gain, *, share=0.01, n_events=1_000, cpu_s=5.0, error=0.01, predicted=None, judged=None):
    return Done(
        n_events=n_events,
        share=share,
        gain=gain,
        gain_error=error,
        cpu_s=cpu_s,
        predicted=predicted,
        n_judged=judged,
    )


def test_before_the_first_refresh_little_is_promised():
    said = forecast([], n_events=1_000, share=0.01)
    assert said.low < 0 < said.gain < said.high
    assert said.cpu_s is None


def test_the_past_is_learned_from():
    said = forecast([done(0.05)] * 30, n_events=1_000, share=0.01)
    assert said.gain == pytest.approx(0.05, abs=0.005)
    assert said.n_past == 30


def test_the_gain_grows_with_the_root_of_what_came():
    past = [done(0.02)] * 20
    once, twice = (forecast(past, n_events=1, share=share).gain for share in (0.01, 0.04))
    assert twice == pytest.approx(2 * once)


@pytest.mark.parametrize("share", [1e-2, 1e-4, 1e-6])
def test_however_little_of_the_log_a_refresh_brings_its_gain_is_learned(share):
    said = forecast([done(0.01, share=share, error=0.03)] * 200, n_events=1, share=share)
    assert said.gain == pytest.approx(0.01, rel=0.1)


def test_what_is_said_of_all_earlier_refreshes_adds_up_to_what_they_gained():
    sizes = [0, 1, 2, 4, 30] * 40
    past = [done(0.01 * n, share=1e-4 * n, error=0.001) for n in sizes]
    said = [forecast(past, n_events=1, share=one.share).gain for one in past]
    assert sum(said) == pytest.approx(sum(one.gain for one in past), rel=0.02)


def test_refreshes_that_brought_nothing_say_nothing_of_those_that_bring_something():
    past = [done(-0.01, share=0.0)] * 100 + [done(0.01, share=1e-4)] * 10
    assert forecast(past, n_events=1, share=1e-4).gain == pytest.approx(0.01, rel=0.1)
    assert forecast(past, n_events=0, share=0.0).gain == 0


def test_those_that_changed_no_list_and_so_have_no_error_do_not_outweigh_the_others():
    past = [done(0.0, error=0.0), done(0.04, error=0.06)] * 200
    assert forecast(past, n_events=1, share=0.01).gain == pytest.approx(0.02, rel=0.05)


def test_what_few_judged_weighs_little():
    past = [done(0.01, error=0.02, judged=500), done(0.5, error=0.4, judged=2)] * 200
    # one request has an error of .45, two of them .32: a hundredth of the others' weight
    assert forecast(past, n_events=1, share=0.01).gain == pytest.approx(0.01, abs=0.005)


def test_the_cost_is_a_constant_and_a_price_by_event():
    past = [done(0.0, n_events=n, cpu_s=2.0 + 0.001 * n) for n in (1_000, 2_000, 4_000, 8_000)]
    assert forecast(past, n_events=6_000, share=0.01).cpu_s == pytest.approx(8.0)
    assert forecast(past[:1], n_events=6_000, share=0.01).cpu_s == pytest.approx(3.0)


def test_nine_of_ten_outcomes_lie_within():
    rng = np.random.default_rng(0)
    past = []
    for _ in range(300):
        said = forecast(past, n_events=1_000, share=0.01)
        gain = 0.03 + rng.normal(0, 0.02) + rng.normal(0, 0.03)
        past.append(done(gain, error=0.03, predicted=said))
    held = calibration(past)
    assert held["n"] == 300
    assert held["within_90"] == pytest.approx(0.9, abs=0.05)
    assert abs(held["mean_error"]) < 0.01


def test_without_forecasts_there_is_nothing_to_calibrate():
    assert calibration([done(0.1), done(None, predicted=forecast([], n_events=1, share=1))]) == {
        "n": 0.0
    }


def test_the_level_of_forecasts_is_judged_by_all_who_judged():
    said = Forecast(gain=0.02, low=-0.01, high=0.05, cpu_s=None, n_past=9)
    past = [done(0.02, predicted=said, judged=90), done(0.12, predicted=said, judged=10)]
    held = calibration(past)
    # .9 * .02 + .1 * .12
    assert held["measured"] == pytest.approx(0.03)
    assert held["expected"] == pytest.approx(0.02)
    assert held["within_90"] == 0.5


def test_a_refresh_that_cannot_pay_is_skipped():
    said = Forecast(gain=0.001, low=-0.002, high=0.004, cpu_s=12.0, n_past=9)
    assert is_worth_it(said, least_gain=0.0, most_cpu_s=None)[0]
    worth, why = is_worth_it(said, least_gain=0.005, most_cpu_s=None)
    assert not worth
    assert "+0.40% at best is less than 0.50%" in why
    worth, why = is_worth_it(said, least_gain=0.0, most_cpu_s=10)
    assert not worth
    assert "12 CPU seconds, more than 10" in why
    assert is_worth_it(replace(said, cpu_s=None), least_gain=0.0, most_cpu_s=10)[0]


def test_the_record_survives_a_file():
    import json

    record = done(0.1, predicted=forecast([], n_events=1, share=0.5))
    assert Done.from_json(json.loads(json.dumps(record.to_json()))) == record
