"""Some ranks beside one process: the same numbers, whatever the number of ranks."""

import math
import sys
import time
from dataclasses import replace
from itertools import count, islice
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
import torch

from recbench.errors import InputError
from recbench.models.deepseek.balance import expert_load
from recbench.training.candidates import Candidates
from recbench.training.fit import fit
from recbench.training.gradients import average_gradients
from recbench.training.ledger import trained_examples
from recbench.training.objective import Objective
from recbench.training.sharded_checkpoints import latest_checkpoint, step_of

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # ranks cannot import tests

# Sums over ranks add in another order than sums over a batch: some thousand terms in float64,
# each up to a thousand times their sum, and each off by 2^-53 of itself.
FLOAT64 = 1e-9
FLOAT32 = 1e-5  # the same where routers compute in float32
# Adam divides by gradients' size: what is 0 on paper goes a whole step either way. See
# `parity/test_training_step.py`: the bias of the prior moves all scores of a request alike.
IDLE = "candidates.prior.2.bias"


def doubled(part):
    if isinstance(part, torch.Tensor):
        return part.double() if part.is_floating_point() else part
    return type(part)(*map(doubled, part)) if isinstance(part, tuple) else part


def gradients(towers, batches, objective, cached, *, n_batches):
    """Of some batches: loss, gradients, and the candidates to be cached."""
    found = []
    for batch in islice(batches.from_step(0), n_batches):
        towers.zero_grad()
        loss, candidates = objective(towers, doubled(batch), cached=cached)
        balance = towers.auxiliary_loss()
        loss = loss if balance is None else loss + balance
        loss.backward()
        found.append((loss.detach(), candidates))
        yield found[-1]


def step_of_rank(rank, *, towers, batches, objective, cached, n_batches):
    """The same on a rank, gradients averaged; the loss is the mean over ranks."""
    own, answers = replace(batches, rank=rank.number, n_ranks=rank.n_ranks), []
    for loss, candidates in gradients(towers, own, objective, cached, n_batches=n_batches):
        average_gradients(towers.parameters())
        torch.distributed.all_reduce(loss)
        answers.append((loss / rank.n_ranks, dense(towers), candidates, loads(towers)))
    return answers


def dense(towers):
    named = towers.named_parameters()
    return {name: p.grad.to_dense().clone() for name, p in named if p.grad is not None}


def loads(towers):
    stack = getattr(getattr(towers.queries, "encoder", None), "stack", None)
    return [] if stack is None else [expert_load(m.routing).tolist() for m in stack.mixtures()]


CASES = {
    "dense": {},
    "rows": {"table_updates": "rows"},
    "inner gru": {"encoder": "gru", "inner_weight": 0.5},
    "every position": {"encoder": "hstu", "protocol": "next_in_session"},
    "experts": {"encoder": "deepseek", "balance": (0.1, 0.2, 0.3), "table_updates": "rows"},
    "all items": {"negatives": "all"},
    "bpr": {"loss": "bpr"},
    "watching": {"watch_weight": 0.7},
}


def made(tiny_data, tiny_arguments, case):
    """Towers in float64, batches and objective of a case."""
    from recbench.jobs.build import batches_for, new_towers

    case = dict(CASES[case])
    data = replace(tiny_data, protocol=case.pop("protocol", "masked"))
    balance = case.pop("balance", None)
    experiment = tiny_arguments["experiment"]
    towers = replace(experiment.towers, encoder=case.pop("encoder", "pooled"))
    training = replace(experiment.training, **case)
    experiment = replace(experiment, towers=towers, training=training)
    arguments = tiny_arguments | {"experiment": experiment}
    batches = batches_for(data, data.events, **arguments)
    made = new_towers(data, experiment).double()
    if balance is not None:
        made.queries.encoder.balance_weights = balance
    objective = Objective(
        loss=training.loss, inner_weight=training.inner_weight, watch_weight=training.watch_weight
    )
    return made, batches, objective


@pytest.mark.parametrize("case", CASES)
def test_ranks_make_the_step_of_one_process(case, tiny_data, tiny_arguments, ranks, tmp_path):
    towers, batches, objective = made(tiny_data, tiny_arguments, case)
    assert batches.id_dropout > 0
    cached = Candidates(torch.randn(5, 9).double(), torch.arange(5), torch.zeros(5).double())
    options = {"batches": batches, "objective": objective, "n_batches": 2}
    options["cached"] = None if case in ("all items", "every position") else cached
    answers = on_ranks(ranks(3), step_of_rank, tmp_path, towers=towers, **options)
    here = gradients(towers, **options)
    near = FLOAT32 if case == "experts" else FLOAT64
    for (loss, own, candidates, load), (one_loss, one_candidates) in zip(
        answers, here, strict=True
    ):
        assert loss.item() == pytest.approx(one_loss.item(), rel=near)
        assert load == loads(towers)
        torch.testing.assert_close(candidates, one_candidates, rtol=near, atol=near)
        expected = dense(towers)
        assert own.keys() == expected.keys()
        torch.testing.assert_close(own, expected, rtol=near, atol=near)


def test_ranks_without_an_example_take_part(tiny_data, tiny_arguments, ranks, tmp_path):
    towers, batches, objective = made(tiny_data, tiny_arguments, "experts")
    batches = replace(batches, batch_size=2)  # for three ranks
    options = {"batches": batches, "objective": objective, "cached": None, "n_batches": 1}
    ((loss, own, _, _),) = on_ranks(ranks(3), step_of_rank, tmp_path, towers=towers, **options)
    ((one_loss, _),) = gradients(towers, **options)
    assert loss.item() == pytest.approx(one_loss.item(), rel=FLOAT32)
    torch.testing.assert_close(own, dense(towers), rtol=FLOAT32, atol=FLOAT32)


def on_ranks(cluster, work, folder, **options):
    from functools import partial

    return cluster.run_ranks(
        partial(work, **options), folder=folder, accelerator="cpu", on_told=lambda *_: None
    )


def close(fitted, expected):
    ours, theirs = fitted.towers.state_dict(), expected.towers.state_dict()
    for name in theirs.keys() - {IDLE}:
        # after a dozen steps of Adam from float32 gradients
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-3, atol=1e-4)


def test_two_ranks_train_what_one_process_does(tiny_towers, tiny_batches, ranks):
    measured = [0.1, 0.3, 0.2, 0.2, 0.2]
    options = {"max_steps": 20, "evaluate_every": 2, "patience": 3, "cached_negatives": 30}
    options["accumulate"] = 2
    values, told = iter(measured), []
    alone = fit(tiny_towers(), tiny_batches, evaluate=lambda _: next(values), **options)
    values, towers = iter(measured), tiny_towers()
    together = fit(
        towers,
        tiny_batches,
        evaluate=lambda _: next(values),
        on_value=lambda *point: told.append(point),
        cluster=ranks(2),
        **options,
    )
    assert together.steps == alone.steps == 2
    assert together.curve == alone.curve == told
    close(together, alone)
    assert together.moments.keys() == alone.moments.keys()
    assert not torch.equal(towers.items.item.weight, tiny_towers().items.item.weight)


def test_a_checkpoint_goes_on_with_any_number_of_ranks(tiny_towers, tiny_batches, ranks, tmp_path):
    steps = tiny_batches.steps_per_epoch
    options = {"checkpoint": tmp_path, "checkpoint_every": 3}
    alone = fit(tiny_towers(), tiny_batches, max_steps=steps)
    fit(tiny_towers(), tiny_batches, max_steps=5, cluster=ranks(2), **options)
    assert step_of(latest_checkpoint(tmp_path)) == 5
    fit(tiny_towers(), tiny_batches, max_steps=9, cluster=ranks(3), **options)
    together = fit(tiny_towers(), tiny_batches, max_steps=steps, cluster=ranks(1), **options)
    assert together.steps == steps
    close(together, alone)
    at, examples = trained_examples(tmp_path)
    assert sorted(examples) == list(range(len(tiny_batches.examples)))  # an epoch, each once
    for step, chunk in enumerate(tiny_batches.epoch(0), start=1):
        assert sorted(examples[at == step]) == sorted(chunk)
    assert len(list(tmp_path.glob("step-*"))) <= 2  # older ones go


def very_slowly(_):
    """It takes longer than a driver takes to see how many ranks there should be."""
    time.sleep(1.0)
    return time.time()


def slowly(_):
    """A measure that always grows and takes its time, so that a change of ranks finds them busy."""
    time.sleep(0.3)
    return time.time()


def test_a_table_cut_by_rows_trains_as_a_whole_one(
    tiny_data, tiny_experiment, tiny_batches, ranks, tmp_path
):
    from recbench.jobs.build import new_towers

    training = replace(tiny_experiment.training, table_updates="rows")
    experiment = replace(tiny_experiment, training=training)
    options = {"checkpoint": tmp_path, "checkpoint_every": 4, "shard_rows": True}
    alone = fit(new_towers(tiny_data, experiment), tiny_batches, max_steps=12)
    towers = new_towers(tiny_data, experiment)
    fit(towers, tiny_batches, max_steps=6, cluster=ranks(3), **options)
    assert isinstance(towers.items.item, torch.nn.Embedding)  # whole again
    together = fit(
        new_towers(tiny_data, experiment), tiny_batches, max_steps=12, cluster=ranks(2), **options
    )
    close(together, alone)
    assert together.moments.keys() == alone.moments.keys()
    for name, value in alone.moments.items():
        torch.testing.assert_close(together.moments[name], value, rtol=1e-3, atol=1e-4)


def test_a_table_that_cannot_be_cut_is_refused(tiny_towers, tiny_batches, ranks, tmp_path):
    options = {"max_steps": 1, "shard_rows": True}
    with pytest.raises(InputError, match="give a `cluster`, too"):
        fit(tiny_towers(), tiny_batches, **options)
    with pytest.raises(InputError, match="`table_updates='rows'`"):
        fit(tiny_towers(), tiny_batches, cluster=ranks(1), **options)


@pytest.mark.slow
def test_ranks_grow_and_shrink_at_checkpoints(tiny_towers, tiny_batches, ranks, tmp_path):
    cluster, steps = ranks(1), 195

    class Resized:
        def run_ranks(self, work, **options):
            tell = options.pop("on_told")

            def told(name, value):
                if name == "saved":
                    cluster.maximum = 3 if value < 105 else 2
                tell(name, value)

            return cluster.run_ranks(work, on_told=told, **options)

    options = {"checkpoint": tmp_path, "checkpoint_every": 15, "cluster": Resized()}
    options |= {"evaluate": very_slowly, "evaluate_every": 15, "patience": steps}
    fitted = fit(tiny_towers(), tiny_batches, max_steps=steps, **options)
    assert fitted.steps == steps
    n_ranks = [path.stem.split("-")[-1] for path in sorted((tmp_path / "trained").iterdir())]
    assert set(n_ranks) == {"1", "2", "3"}
    close(fitted, fit(tiny_towers(), tiny_batches, max_steps=steps))
    _, examples = trained_examples(tmp_path)
    counts = np.bincount(examples)
    epochs = steps / tiny_batches.steps_per_epoch
    assert set(counts) <= {math.floor(epochs), math.ceil(epochs)}
    assert len(examples) == sum(len(chunk) for chunk in islice(all_chunks(tiny_batches), steps))


def all_chunks(batches):
    return (chunk for epoch in count() for chunk in batches.epoch(epoch))


def test_a_client_is_no_launcher_of_ranks(tiny_towers, tiny_batches):
    with pytest.raises(InputError, match="must launch ranks, got PosixPath"):
        fit(tiny_towers(), tiny_batches, max_steps=1, cluster=Path())
    with pytest.raises(InputError, match="`checkpoint_every` must be at least 1, got 0"):
        fit(
            tiny_towers(),
            tiny_batches,
            max_steps=1,
            checkpoint_every=0,
            cluster=type("Cluster", (), {"run_ranks": None}),
        )
