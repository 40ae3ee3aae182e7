import numpy as np
import pytest

from recbench.benchmarks.coverage import run
from recbench.benchmarks.coverage_worlds import ListWorld, RoundWorld
from recbench.errors import InputError
from recbench.evaluation.off_policy import ips
from recbench.evaluation.off_policy.slates import independent_ips, interaction_ips


def test_few_logs_have_every_figure_within_its_range():
    result = run(events=1_000, runs=3)
    assert len(result.runs) == 3
    for name in ("ips", "snips", "dr", "difference", "iips", "rips", "cascade_dr"):
        for kind in ("bootstrap", "bernstein"):
            assert 0 <= result.figures[f"{kind}_{name}"] <= 1
            assert result.figures[f"{kind}_{name}_width"] > 0
        assert result.figures[f"bernstein_{name}_width"] > result.figures[f"bootstrap_{name}_width"]
    assert result.figures["abstained_unsupported"] > result.figures["abstained_supported"]


def test_too_small_logs_are_refused():
    with pytest.raises(InputError, match="at least 1000, got 10"):
        run(events=10)


def test_truths_are_what_many_logs_say_on_average():
    rng = np.random.default_rng(0)
    world = RoundWorld.drawn(rng)
    values = []
    for _ in range(40):
        feedback, targets = world.log(5_000, rng)
        values.append([ips(feedback, target).value for target in targets])
    error = np.std(values, axis=0) / np.sqrt(40)
    assert np.all(np.abs(np.mean(values, axis=0) - world.truths) < 4 * error)
    for reads_down, estimate in ((False, independent_ips), (True, interaction_ips)):
        lists = ListWorld.drawn(rng, reads_down=reads_down)
        found = [estimate(lists.log(5_000, rng)[0]).value for _ in range(40)]
        assert abs(np.mean(found) - lists.truth) < 4 * np.std(found) / np.sqrt(40)


def test_unsupported_world_never_logs_what_its_targets_show():
    world = RoundWorld.drawn(np.random.default_rng(1), never=5)
    assert world.logging[:, :5].sum() == 0
    for target in world.targets:
        assert 0.1 <= target[:, :5].sum(axis=1).min() <= 0.4
        assert target.sum(axis=1) == pytest.approx(np.ones(100))
