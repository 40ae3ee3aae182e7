"""The gate is a pure function: each finding, and nothing without one."""

import json
from dataclasses import replace

import numpy as np
import pytest

from recbench.refresh.evidence import Evidence
from recbench.refresh.facts import WindowFacts
from recbench.refresh.gate import Limits, Measured, Paired, Reason, Verdict, gate
from recbench.refresh.notes import Step

FACTS = WindowFacts(
    n_events=1_000,
    n_clicks=200,
    n_users=300,
    n_new_items=5,
    n_late=0,
    top_item_share=0.06,
    top_user_share=0.02,
    click_rate=0.2,
    gap_s=600.0,
    span_s=900.0,
    n_not_finite=0,
    filled={"category": 0.9},
)
QUIET = Measured(facts=FACTS, usual=[FACTS] * 3)


def pair(loss, *, n=400, seed=0):
    rng = np.random.default_rng(seed)
    other = np.where(rng.random(n) < 0.5, rng.random(n), 0.0)
    noise = rng.normal(0, 0.05, n) * other
    return Paired.of(np.clip(other * (1 - loss) + noise, 0, 1), other)


def facts(**changed):
    return replace(QUIET, facts=replace(FACTS, **changed))


def names(measured, **options):
    return [reason.name for reason in gate(measured, **options).reasons]


def test_where_nothing_speaks_against_it_it_is_published():
    verdict = gate(replace(QUIET, held_back=pair(0.0), older=pair(0.0), cold=pair(0.0)))
    assert verdict == Verdict("publish")


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"n_clicks": 0, "click_rate": 0.0}, "no clicks"),
        ({"n_late": 100}, "late events"),
        ({"n_not_finite": 1}, "not finite"),
        ({"top_item_share": 0.2}, "flood of one item"),
        ({"top_user_share": 0.2}, "flood of one user"),
        ({"click_rate": 0.8}, "click rate"),
        ({"click_rate": 0.02}, "click rate"),
        ({"gap_s": 7 * 86_400.0}, "gap"),
        ({"filled": {"category": 0.1}}, "dropped column"),
        ({"filled": {}}, "dropped column"),
    ],
)
def test_strange_input_is_held(changed, name):
    verdict = gate(facts(**changed))
    assert verdict.decision == "hold"
    assert [reason.name for reason in verdict.reasons] == [name]


@pytest.mark.parametrize(
    "changed",
    [
        {"n_late": 40},
        {"top_item_share": 0.15},
        {"top_user_share": 0.05},
        {"click_rate": 0.3},
        {"gap_s": 20_000.0},
        {"filled": {"category": 0.7}},
    ],
)
def test_what_is_only_unusual_passes(changed):
    assert gate(facts(**changed)).decision == "publish"


def test_without_anything_usual_only_the_impossible_is_held():
    strange = replace(facts(top_item_share=1.0, gap_s=1e9), usual=[])
    assert gate(strange).decision == "publish"
    assert names(replace(facts(n_clicks=0), usual=[])) == ["no clicks"]


@pytest.mark.parametrize("part", ["held_back", "trained", "older", "cold"])
def test_a_loss_beyond_chance_is_held(part):
    words = {"held_back": "held back", "trained": "trained on", "older": "forgetting"}
    wanted = words.get(part, "new items")
    assert names(replace(QUIET, **{part: pair(0.2)})) == [wanted]
    assert names(replace(QUIET, **{part: pair(-0.2)})) == []


def test_a_loss_within_chance_passes():
    assert names(replace(QUIET, held_back=pair(0.2, n=12))) == []


def test_a_slice_with_few_who_differ_says_nothing():
    same = np.full(500, 0.5)
    worse = same.copy()
    worse[:9] = 0.0
    assert names(replace(QUIET, held_back=Paired.of(worse, same))) == []


def test_false_holds_are_as_rare_as_declared():
    held = sum(
        bool(
            names(
                replace(QUIET, held_back=pair(0.01, seed=seed), older=pair(0.02, seed=1_000 + seed))
            )
        )
        for seed in range(400)
    )
    assert held / 400 < 0.05


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"drift": 0.2}, "drift"),
        ({"calibration": 4.0}, "calibration"),
        ({"calibration": 0.2}, "calibration"),
        ({"expert_load": 5.0}, "router"),
        ({"latency_ms": 9.0}, "latency"),
        ({"size_ratio": 3.0}, "size"),
        ({"broken": ["3 rows of the index are not what the towers give"]}, "broken"),
        ({"failure": "The loss became nan at step 3 of the update"}, "failure"),
    ],
)
def test_a_candidate_out_of_bounds_is_held(changed, name):
    verdict = gate(replace(QUIET, **changed))
    assert verdict.decision == "hold"
    assert [reason.name for reason in verdict.reasons] == [name]


@pytest.mark.parametrize(
    ("changed", "name"), [({"total_drift": 0.6}, "worn out"), ({"grown_share": 0.3}, "grown")]
)
def test_a_worn_out_model_is_rebuilt(changed, name):
    verdict = gate(replace(QUIET, **changed))
    assert verdict.decision == "full rebuild"
    assert [reason.name for reason in verdict.reasons] == [name]
    assert not verdict.roll_back


def lasting_loss():
    rng = np.random.default_rng(0)
    other = rng.random(4_000)
    return Evidence(0.01).after(other * 0.9, other)


def test_a_lasting_loss_is_rolled_back_and_rebuilt():
    verdict = gate(replace(QUIET, anchor="good", evidence=lasting_loss()))
    assert verdict.decision == "full rebuild"
    assert verdict.roll_back == "good"


def test_a_lasting_loss_is_rolled_back_even_where_the_input_is_held():
    verdict = gate(replace(facts(n_late=500), anchor="good", evidence=lasting_loss()))
    assert verdict.decision == "hold"
    assert verdict.roll_back == "good"


def test_the_first_bad_step_is_taken_back():
    steps = [
        Step("fourth", "third", Evidence(0.01)),
        Step("third", "second", lasting_loss()),
        Step("second", "first", lasting_loss()),
    ]
    verdict = gate(replace(QUIET, anchor="zeroth", steps=steps))
    assert verdict.roll_back == "first"
    assert [str(reason) for reason in verdict.reasons] == [
        "lasting loss: over 4000 users release third is worse than second before it by more than "
        "1%",
        "lasting loss: over 4000 users release second is worse than first before it by more than "
        "1%",
    ]


def test_what_somebody_has_looked_at_no_longer_holds():
    verdict = gate(facts(gap_s=7 * 86_400.0), accept=["gap"])
    assert verdict.decision == "publish"
    assert [reason.name for reason in verdict.accepted] == ["gap"]
    assert names(facts(gap_s=7 * 86_400.0), accept=["drift"]) == ["gap"]


def test_limits_may_be_declared():
    assert names(replace(QUIET, drift=0.05), limits=Limits(drift=0.01)) == ["drift"]


def test_reasons_say_what_was_found_and_what_is_usual():
    (reason,) = gate(facts(gap_s=7 * 86_400.0)).reasons
    assert str(reason) == (
        "gap: no event for 7.0 days, at most 10.0 minutes in the windows before: are events "
        "missing?"
    )


def test_verdicts_and_measures_survive_a_file():
    steps = (Step("second", "first", lasting_loss()),)
    measured = replace(QUIET, held_back=pair(0.1), steps=steps, broken=("a", "b"))
    through = json.loads(json.dumps(measured.to_json()))
    assert Measured.from_json(through, measured.usual) == measured
    verdict = Verdict("hold", (Reason("gap", "a: b"),), "before", (Reason("drift", "c"),))
    assert Verdict.from_json(json.loads(json.dumps(verdict.to_json()))) == verdict


def test_a_paired_comparison_is_that_of_its_differences():
    own, other = np.array([0.2, 0.4, 0.9]), np.array([0.2, 0.5, 1.0])
    found = Paired.of(own, other)
    assert (found.n_users, found.n_decided) == (3, 2)
    assert found.difference == pytest.approx(-0.2 / 3)
    assert found.relative == pytest.approx(-0.2 / 1.7)
    assert found.standard_error == pytest.approx(np.std([0, -0.1, -0.1], ddof=1) / np.sqrt(3))
    assert Paired.of(own[:1], other[:1]).standard_error is None
