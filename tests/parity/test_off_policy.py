"""The Open Bandit Pipeline's estimators on its own data give our numbers."""

import numpy as np
import pytest

from recbench.evaluation.off_policy import (
    Feedback,
    TargetPolicy,
    clipped_ips,
    direct_method,
    doubly_robust,
    ips,
    replay,
    shrunk_doubly_robust,
    snips,
    switch_doubly_robust,
)
from recbench.evaluation.off_policy.marginal import marginal_rounds
from recbench.evaluation.off_policy.slates import (
    SlateFeedback,
    cascade_doubly_robust,
    independent_ips,
    interaction_ips,
    standard_ips,
)

pytestmark = pytest.mark.slow

LAMBDA = 5.0
OURS = {
    "replay": replay,
    "ips": ips,
    "clipped-ips": lambda f, t: clipped_ips(f, t, clip=LAMBDA),
    "snips": snips,
    "dm": direct_method,
    "dr": doubly_robust,
    "clipped-dr": lambda f, t: doubly_robust(f, t, clip=LAMBDA),
    "switch-dr": lambda f, t: switch_doubly_robust(f, t, switch=LAMBDA),
    "dros": lambda f, t: shrunk_doubly_robust(f, t, shrinkage=LAMBDA),
}


def test_estimates_on_the_open_bandit_log_are_those_of_obp(ask_obp, tmp_path):
    theirs = ask_obp("off_policy", folder=str(tmp_path))
    saved = np.load(tmp_path / "rounds.npz")
    action, position = saved["action"], saved["position"]
    at = np.arange(len(action))
    feedback = Feedback.of_rounds(saved["reward"].astype(float), saved["pscore"])
    expected = saved["expected"][at, :, position]
    for policy, estimates in theirs.items():
        # Thompson sampling by simulation sums to one but for rounding
        target = TargetPolicy.of_dense(saved[policy][at, :, position], action, expected=expected)
        for name, value in estimates.items():
            if name == "replay" and policy == "sampled":
                assert value == 0  # obp's word for no match; ours is NaN, which nobody adds up
                assert np.isnan(replay(feedback, target).value)
                continue
            assert OURS[name](feedback, target).value == pytest.approx(value, abs=1e-9), name


@pytest.mark.parametrize("seed", [1, 2])
def test_estimates_of_lists_are_those_of_obp(ask_obp, tmp_path, seed):
    theirs = ask_obp("slates", folder=str(tmp_path), seed=seed)
    saved = np.load(tmp_path / "slates.npz")
    n, length, actions = saved["shape"]
    columns = ("logging_slot", "logging_cascade", "target_slot", "target_cascade")
    slates = SlateFeedback(
        rewards=saved["reward"].reshape(n, length).astype(float),
        **{name: saved[name].reshape(n, length) for name in columns},
    )
    every = saved["expected"].reshape(n, length, actions)
    logged = np.take_along_axis(every, saved["action"].reshape(n, length, 1), axis=2)[:, :, 0]
    mean = (every * saved["chances"].reshape(n, length, actions)).sum(axis=2)
    ours = {
        "sips": standard_ips(slates),
        "iips": independent_ips(slates),
        "rips": interaction_ips(slates),
        "cascade-dr": cascade_doubly_robust(slates, expected_logged=logged, expected=mean),
    }
    assert {name: terms.value for name, terms in ours.items()} == pytest.approx(theirs, abs=1e-9)


def test_marginalised_estimates_are_those_of_obp(ask_obp, tmp_path):
    theirs = ask_obp("marginalised", folder=str(tmp_path), seed=3)
    saved = np.load(tmp_path / "cells.npz")
    feedback = Feedback.of_rounds(saved["reward"].astype(float), saved["pscore"])
    rounds, target = marginal_rounds(
        feedback,
        saved["cells"],
        actions=saved["action"],
        logging=saved["pi_b"][:, :, 0],
        target=saved["target"][:, :, 0],
    )
    ours = {"mips": ips(rounds, target).value, "snmips": snips(rounds, target).value}
    assert ours == pytest.approx(theirs, abs=1e-9)
