"""What a step minimises: by a plain loop, over ranks, and with earlier candidates."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from recbench.errors import InputError
from recbench.models.query_towers import Events, Requests
from recbench.training.candidates import Candidates
from recbench.training.fit import fit
from recbench.training.objective import Objective


@pytest.fixture
def batch(tiny_batches):
    return tiny_batches.batch(tiny_batches.epoch(0)[0], np.random.default_rng(0))


def looped(towers, batch):
    """Request by request: softmax of the target among the candidates that are no hits."""
    encoded = towers.items(batch.item_rows, batch.id_kept)
    candidates = towers.candidates(
        encoded[batch.candidate_at], batch.candidate_features, batch.candidate_log_prior
    )
    targets = towers.candidates(
        encoded[batch.points.target_at], batch.target_features, batch.target_log_prior
    )
    events = Events(encoded[batch.event_at], batch.layout, batch.age_s, batch.watch_ratio)
    points = batch.points
    queries = towers.queries(events, Requests(points.after, points.gap_s, points.window))
    losses = []
    for row, query in enumerate(queries):
        own = (query @ targets[row] - points.target_log_q[row]).exp()
        total = own.clone()
        for column, candidate in enumerate(candidates):
            is_own = batch.candidate_at[column] == points.target_at[row]
            if not is_own and not batch.hits[points.history[row], column]:
                total += (query @ candidate - batch.log_q[column]).exp()
        losses.append(-(own / total).log())
    return torch.stack(losses).mean()


def test_the_loss_is_that_of_a_plain_loop(tiny_towers, batch):
    towers = tiny_towers()
    loss, _ = Objective()(towers, batch)
    torch.testing.assert_close(loss, looped(towers, batch))


@pytest.mark.parametrize("loss", ["softmax", "bpr", "bce"])
def test_every_loss_can_be_trained(tiny_towers, tiny_batches, batch, loss):
    objective, towers = Objective(loss=loss), tiny_towers()
    before = objective(towers, batch)[0].item()
    trained = fit(towers, tiny_batches, max_steps=60, learning_rate=1e-2, objective=objective)
    assert objective(trained.towers, batch)[0].item() < before


def test_cached_candidates_are_more_negatives_but_for_hits(tiny_towers, batch):
    towers, objective = tiny_towers(), Objective()
    plain, own = objective(towers, batch)
    loud = own.embeddings[:1] * 50
    events, owners = batch.item_rows[batch.event_at], batch.layout.sequences
    # an item of everybody's history is nobody's negative; an item of nobody's is everybody's
    everybodys = [
        row for row in events.unique() if len(owners[events == row].unique()) == batch.n_histories
    ]
    known = torch.cat([events, batch.item_rows[batch.points.target_at]])
    nobodys = next(row for row in range(10**6) if row not in known)
    told = Candidates(loud, torch.tensor([nobodys]), torch.zeros(1))
    assert objective(towers, batch, cached=told)[0] > plain + 0.1
    for row in everybodys:
        told = Candidates(loud, row[None], torch.zeros(1))
        torch.testing.assert_close(objective(towers, batch, cached=told)[0], plain)
    # by hand for all histories: an item of some of them
    row = events[0]
    hidden = torch.zeros(batch.n_histories, dtype=torch.bool)
    hidden[owners[events == row]] = True
    hidden[batch.points.history[batch.item_rows[batch.points.target_at] == row]] = True
    found = objective(towers, batch, cached=Candidates(loud, row[None], torch.zeros(1)))[0]
    assert (found > plain + 1e-3) == bool((~hidden[batch.points.history]).any())


def test_training_with_a_cache_is_resumed_where_it_was(tiny_towers, tiny_batches, tmp_path):
    options = {"cached_negatives": 100}
    whole = fit(tiny_towers(), tiny_batches, max_steps=8, **options).towers
    stop = options | {"checkpoint": tmp_path / "state.ckpt", "checkpoint_every": 4}
    fit(tiny_towers(), tiny_batches, max_steps=4, **stop)
    resumed = fit(tiny_towers(), tiny_batches, max_steps=8, **stop).towers
    plain = fit(tiny_towers(), tiny_batches, max_steps=8).towers
    state = resumed.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in whole.state_dict().items())
    assert any(not torch.equal(value, state[name]) for name, value in plain.state_dict().items())


def test_towers_without_a_head_for_watching_say_so(tiny_towers, batch):
    with pytest.raises(InputError, match="do not predict watching"):
        Objective(watch_weight=1.0)(tiny_towers(), batch)


def test_watching_is_learned_beside_clicks(tiny_data, tiny_arguments):
    import polars as pl

    from recbench.jobs.build import batches_for, new_towers

    # even items are watched to the end, odd ones hardly at all
    share = pl.when(pl.col("item_id") % 2 == 0).then(0.95).otherwise(0.05).cast(pl.Float32)
    data = replace(tiny_data, events=tiny_data.events.with_columns(watch_ratio=share))
    experiment = tiny_arguments["experiment"]
    experiment = replace(experiment, training=replace(experiment.training, watch_weight=1.0))
    arguments = tiny_arguments | {"experiment": experiment}
    batches = batches_for(data, data.events, **arguments)
    batch = batches.batch(batches.epoch(0)[0], np.random.default_rng(0))
    assert set(batch.target_watch_ratio.tolist()) == {np.float32(0.95), np.float32(0.05)}
    objective, towers = Objective(watch_weight=1.0), new_towers(data, experiment)

    def of_watching(towers):
        return (objective(towers, batch)[0] - Objective()(towers, batch)[0]).item()

    before = of_watching(towers)
    trained = fit(towers, batches, max_steps=150, learning_rate=2e-2, objective=objective).towers
    assert before == pytest.approx(np.log(2), abs=0.1)  # nothing is known: one bit
    assert of_watching(trained) < 0.8 * before


def test_all_items_as_candidates_give_the_full_softmax(tiny_towers, tiny_batches):
    batches = replace(tiny_batches, all_items=True)
    batch = batches.batch(batches.epoch(0)[0], np.random.default_rng(0))
    n_items = len(batches.examples.log.items)
    assert batch.candidate_rows.tolist() == list(range(n_items))
    assert not batch.log_q.any()
    assert not batch.points.target_log_q.any()
    towers = tiny_towers()
    torch.testing.assert_close(Objective()(towers, batch)[0], looped(towers, batch))


def test_the_full_softmax_of_sequences_is_the_same_in_one_kernel(tiny_data, tiny_arguments):
    from recbench.jobs.build import batches_for, new_towers

    sessions = replace(tiny_data, protocol="next_in_session")
    experiment = tiny_arguments["experiment"]
    experiment = replace(
        experiment,
        towers=replace(experiment.towers, encoder="gru", n_layers=1),
        training=replace(experiment.training, negatives="all"),
    )
    arguments = tiny_arguments | {"experiment": experiment}
    batches = batches_for(sessions, sessions.events, **arguments)
    batch = batches.batch(batches.epoch(0)[0], np.random.default_rng(0))
    assert batch.hits is None
    towers = new_towers(sessions, experiment)
    nothing_hidden = batch._replace(hits=torch.zeros(batch.n_histories, 40, dtype=torch.bool))
    assert len(batch.candidate_rows) == 40
    plain, kernel = (Objective()(towers, each)[0] for each in (nothing_hidden, batch))
    torch.testing.assert_close(kernel, plain)
    wanted = [p for p in towers.parameters() if p.requires_grad]
    for left, right in zip(
        torch.autograd.grad(plain, wanted, allow_unused=True),
        torch.autograd.grad(kernel, wanted, allow_unused=True),
        strict=True,
    ):
        if left is not None:
            torch.testing.assert_close(right, left, rtol=1e-4, atol=1e-6)
