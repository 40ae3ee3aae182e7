"""A study whose training runs on ranks, beside the same study on one process."""

import pytest

from recbench.evaluation.ranking import paired_difference
from recbench.jobs.study import Study


@pytest.mark.slow
def test_some_ranks_rank_as_well_as_one_process(
    tiny_data, tiny_experiment, rank_client, tmp_path, monkeypatch
):
    monkeypatch.setenv("RECBENCH_RUN_DIR", str(tmp_path))
    alone = Study.of(tiny_data, tiny_experiment, k=5)
    prior = alone.tune_prior()
    expected = alone.fit_on_train(prior)
    together = Study.of(tiny_data, tiny_experiment, k=5, client=rank_client)
    fitted = together.fit_on_train(prior)
    assert [step for step, _ in fitted.curve] == [step for step, _ in expected.curve]
    ours, theirs = (alone.test_exam().grade(each.model) for each in (fitted, expected))
    assert ours.values("ndcg@5").mean() > 0
    difference = paired_difference(ours, theirs, metric="ndcg@5")
    assert difference.low <= 0 <= difference.high
    assert list(tmp_path.glob("checkpoints/*.ckpt.ranks/LATEST"))
