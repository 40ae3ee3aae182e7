import math
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from recbench.errors import InputError, JobError
from recbench.training.checkpoints import WholeFileCheckpointIO
from recbench.training.fit import fit
from recbench.training.objective import Objective


def batch_loss(towers, batch, **objective):
    return Objective(**objective)(towers, batch)[0]


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


def test_a_step_of_several_batches_is_measured_once(tiny_towers, tiny_batches):
    values = iter([0.1, 0.3, 0.2])
    fitted = fit(
        tiny_towers(),
        tiny_batches,
        max_steps=4,
        accumulate=3,
        evaluate=lambda _: next(values),
        evaluate_every=2,
    )
    assert fitted.curve == [(0, 0.1), (2, 0.3), (4, 0.2)]


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


@pytest.fixture(scope="module")
def made(tiny_data, tiny_arguments):
    """Untrained towers and their batches, with some dials turned."""
    from recbench.jobs.build import batches_for, new_towers

    def make(encoder="pooled", **training):
        experiment = tiny_arguments["experiment"]
        changed = replace(
            experiment,
            towers=replace(experiment.towers, encoder=encoder, n_layers=1),
            training=replace(experiment.training, **training),
        )
        arguments = tiny_arguments | {"experiment": changed}
        batches = batches_for(tiny_data, tiny_data.events, **arguments)
        return lambda: new_towers(tiny_data, changed), batches

    return make


def test_sparse_tables_take_the_first_step_of_dense_ones(made):
    options = {"max_steps": 1, "average_decay": 0.0, "weight_decay": 0.0}
    (dense, batches), (rows, _) = made(), made(table_updates="rows")
    left = fit(dense(), batches, **options).towers.state_dict()
    right = fit(rows(), batches, **options).towers.state_dict()
    for name, value in left.items():
        torch.testing.assert_close(right[name], value, rtol=1e-5, atol=1e-6)


def test_sparse_tables_learn_and_are_resumed(made, tmp_path):
    towers, batches = made(table_updates="rows")
    options = {"learning_rate": 1e-2, "average_decay": 0.8}
    whole = fit(towers(), batches, max_steps=60, **options).towers
    batch = next(batches.from_step(0))
    assert batch_loss(whole, batch) < batch_loss(towers(), batch)
    stop = options | {"checkpoint": tmp_path / "state.ckpt", "checkpoint_every": 10}
    fit(towers(), batches, max_steps=10, **stop)
    resumed = fit(towers(), batches, max_steps=60, **stop).towers
    assert state_equal(whole, resumed)


def test_a_step_of_sparse_tables_leaves_other_rows_alone(made):
    towers, batches = made(table_updates="rows")
    batch = next(batches.from_step(0))
    untouched = torch.ones(len(batches.examples.log.items), dtype=torch.bool)
    untouched[batch.item_rows] = False
    assert untouched.any()
    before, after = towers(), fit(towers(), batches, max_steps=1).towers
    assert torch.equal(after.items.item.weight[untouched], before.items.item.weight[untouched])
    assert not torch.equal(after.items.item.weight, before.items.item.weight)


def test_two_accumulated_batches_are_one_of_their_mean_gradient(made):
    towers, batches = made()
    expected = towers()
    optimizer = torch.optim.AdamW(expected.parameters(), lr=1e-3, weight_decay=1e-4)
    for batch in islice(batches.from_step(0), 2):
        (batch_loss(expected, batch) / 2).backward()
    optimizer.step()
    ours = fit(towers(), batches, max_steps=1, warmup_steps=1, average_decay=0.0, accumulate=2)
    assert ours.steps == 1
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(ours.towers.state_dict()[name], value)


def test_an_accumulating_training_is_resumed_at_its_batch(made, tmp_path):
    towers, batches = made()
    whole = fit(towers(), batches, max_steps=8, accumulate=3).towers
    stop = {"checkpoint": tmp_path / "state.ckpt", "checkpoint_every": 4, "accumulate": 3}
    fit(towers(), batches, max_steps=4, **stop)
    assert state_equal(fit(towers(), batches, max_steps=8, **stop).towers, whole)


def test_bfloat16_trains_near_float32(made):
    towers, batches = made()
    batch, options = next(batches.from_step(0)), {"max_steps": 60, "learning_rate": 1e-2}
    before = batch_loss(towers(), batch).item()
    exact, mixed = (
        batch_loss(fit(towers(), batches, **options, precision=precision).towers, batch).item()
        for precision in ("float32", "bfloat16")
    )
    assert mixed < before
    assert mixed == pytest.approx(exact, abs=0.2 * (before - exact))  # 8 bits of mantissa
    weights = fit(towers(), batches, max_steps=1, precision="bfloat16").towers
    assert {p.dtype for p in weights.parameters()} == {torch.float32}


@pytest.mark.long(140)
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated")  # torch's own
def test_compiled_training_ends_where_eager_training_ends(made):
    towers, batches = made("transformer", inner_weight=1.0)
    eager, compiled = (
        fit(towers(), batches, max_steps=3, compiled=compiled).towers for compiled in (False, True)
    )
    for name, value in eager.state_dict().items():
        # three steps of at most 1e-3: other orders of addition may turn a tiny gradient's sign
        torch.testing.assert_close(compiled.state_dict()[name], value, rtol=1e-3, atol=2e-4)


def test_inner_targets_train_what_points_alone_do_not(made):
    towers, batches = made("gru", inner_weight=1.0)
    batch = next(batches.from_step(0))
    points, both = (batch_loss(towers(), batch, inner_weight=weight) for weight in (0.0, 1.0))
    inner = batch_loss(towers(), batch, inner_weight=2.0) - both
    torch.testing.assert_close(both - points, inner, rtol=1e-4, atol=1e-5)
    trained = fit(
        towers(), batches, max_steps=80, learning_rate=2e-2, objective=Objective(inner_weight=1.0)
    ).towers
    after = batch_loss(trained, batch, inner_weight=1.0) - batch_loss(
        trained, batch, inner_weight=0.0
    )
    assert after < inner - 0.05  # of ln(candidates) = 3.1


def test_experts_are_kept_in_balance_while_training(made):
    towers, batches = made("deepseek")
    trained = fit(towers(), batches, max_steps=4).towers
    encoder = trained.queries.encoder
    biases = [mixture.gate.bias for mixture in encoder.stack.mixtures()]
    assert biases
    assert all(bias.abs().max() > 0 for bias in biases)


def test_the_balance_of_experts_is_told(made, capsys):
    towers, batches = made("deepseek")
    fitted = fit(towers(), batches, max_steps=20)
    assert fitted.balance["expert_balance"] >= 1
    assert fitted.balance["sequence_balance"] >= fitted.balance["expert_balance"]
    assert 0 < fitted.balance["experts_used_frac"] <= 1
    assert f"expert={fitted.balance['expert_balance']:.2f}" in capsys.readouterr().out
    assert fit(made()[0](), made()[1], max_steps=1).balance == {}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, so nothing is refused")
def test_a_gpu_that_is_not_there_is_refused(tiny_towers, tiny_batches):
    with pytest.raises(InputError, match="accelerator='gpu'"):
        fit(tiny_towers(), tiny_batches, max_steps=1, accelerator="gpu")
