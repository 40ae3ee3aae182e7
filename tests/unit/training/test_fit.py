import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from recbench.errors import InputError, JobError
from recbench.training.checkpoints import WholeFileCheckpointIO
from recbench.training.fit import fit
from recbench.training.module import batch_loss


def state_equal(a, b):
    left, right = a.state_dict(), b.state_dict()
    return all(torch.equal(left[name], right[name]) for name in left)


def test_one_seed_trains_to_the_same_weights(tiny_towers, tiny_batches):
    first = fit(tiny_towers(), tiny_batches, max_steps=5).towers
    second = fit(tiny_towers(), tiny_batches, max_steps=5).towers
    assert state_equal(first, second)


def test_threads_do_not_change_the_weights_of_a_seed(tiny_data, tiny_experiment, tiny_arguments):
    from recbench.jobs.build import batches_for, new_towers
    from recbench.settings import TowerSettings, TrainingSettings

    # large enough that torch shares a step among threads: without care it ends differently
    larger = replace(
        tiny_experiment,
        towers=TowerSettings(embedding_dim=64, hidden_dim=64),
        training=TrainingSettings(batch_size=256, n_uniform=2_000, n_cuts=6),
    )
    arguments = tiny_arguments | {"experiment": larger}
    batches = batches_for(tiny_data, tiny_data.events, **arguments)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        first, second = (
            fit(new_towers(tiny_data, larger), batches, max_steps=15).towers for _ in range(2)
        )
    finally:
        torch.set_num_threads(threads)
    assert state_equal(first, second)


def test_training_lowers_the_loss(tiny_towers, tiny_batches):
    towers = tiny_towers()
    batch = next(tiny_batches.from_step(0))
    before = batch_loss(towers, batch).item()
    trained = fit(towers, tiny_batches, max_steps=60, learning_rate=1e-2).towers
    assert batch_loss(trained, batch).item() < before


def test_a_step_agrees_with_plain_torch(tiny_towers, tiny_batches):
    towers = tiny_towers()
    optimizer = torch.optim.AdamW(towers.parameters(), lr=1e-3, weight_decay=1e-4)
    batch_loss(towers, next(tiny_batches.from_step(0))).backward()
    optimizer.step()
    ours = fit(tiny_towers(), tiny_batches, max_steps=1, warmup_steps=1, average_decay=0.0)
    for name, value in towers.state_dict().items():
        torch.testing.assert_close(ours.towers.state_dict()[name], value)


def test_the_best_step_is_kept_and_training_stops_after_it(tiny_towers, tiny_batches):
    values = iter([0.1, 0.3, 0.2, 0.2, 0.2, 0.9])
    fitted = fit(
        tiny_towers(),
        tiny_batches,
        max_steps=100,
        evaluate=lambda _: next(values),
        evaluate_every=2,
        patience=3,
    )
    assert fitted.steps == 2
    assert fitted.curve == [(0, 0.1), (2, 0.3), (4, 0.2), (6, 0.2), (8, 0.2)]


def test_where_nothing_beats_the_start_the_towers_stay_untrained(tiny_towers, tiny_batches):
    values = iter([0.5, 0.1, 0.1])
    fitted = fit(
        tiny_towers(),
        tiny_batches,
        max_steps=4,
        evaluate=lambda _: next(values),
        evaluate_every=2,
        patience=9,
    )
    assert fitted.steps == 0
    assert state_equal(fitted.towers, tiny_towers())


def test_an_interrupted_training_ends_where_an_uninterrupted_one_does(
    tiny_towers, tiny_batches, tmp_path
):
    path = tmp_path / "state.ckpt"
    whole = fit(tiny_towers(), tiny_batches, max_steps=12).towers
    fit(tiny_towers(), tiny_batches, max_steps=6, checkpoint=path, checkpoint_every=6)
    resumed = fit(tiny_towers(), tiny_batches, max_steps=12, checkpoint=path, checkpoint_every=6)
    assert resumed.steps == 12
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.towers.state_dict()[name], value)


def test_a_resumed_training_remembers_its_best(tiny_towers, tiny_batches, tmp_path):
    path = tmp_path / "state.ckpt"
    options = {"evaluate_every": 2, "patience": 9, "checkpoint": path, "checkpoint_every": 2}
    first = iter([0.1, 0.8, 0.2])
    fit(tiny_towers(), tiny_batches, max_steps=4, evaluate=lambda _: next(first), **options)
    second = iter([0.3, 0.3, 0.3])
    fitted = fit(
        tiny_towers(), tiny_batches, max_steps=8, evaluate=lambda _: next(second), **options
    )
    assert fitted.steps == 2
    assert max(fitted.curve, key=lambda point: point[1]) == (2, 0.8)


def test_a_checkpoint_is_whole_or_not_there(tmp_path, monkeypatch):
    path = tmp_path / "state.ckpt"
    WholeFileCheckpointIO().save_checkpoint({"step": 1}, path)

    def full(*_):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        WholeFileCheckpointIO().save_checkpoint({"step": 2}, path)
    assert torch.load(path, weights_only=True) == {"step": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.ckpt"]


def test_a_loss_that_is_no_number_stops_the_run(tiny_towers, tiny_batches):
    class Broken:
        def at(self, instant, item_rows):
            found = tiny_batches.candidates.at(instant, item_rows)
            return found._replace(log_prior=np.full_like(found.log_prior, math.nan))

    batches = replace(tiny_batches, candidates=Broken())
    with pytest.raises(JobError, match="became nan at step 1"):
        fit(tiny_towers(), batches, max_steps=5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, so nothing is refused")
def test_a_gpu_that_is_not_there_is_refused(tiny_towers, tiny_batches):
    with pytest.raises(InputError, match="accelerator='gpu'"):
        fit(tiny_towers(), tiny_batches, max_steps=1, accelerator="gpu")
