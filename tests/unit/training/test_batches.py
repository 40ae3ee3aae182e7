from dataclasses import replace
from itertools import islice

import numpy as np
import torch


def same(a, b):
    return all(torch.equal(left, right) for left, right in zip(a, b, strict=True))


def test_a_step_is_the_same_however_one_comes_to_it(tiny_batches):
    from_start = list(islice(tiny_batches.from_step(0), 12))
    later = list(islice(tiny_batches.from_step(7), 5))
    assert all(same(a, b) for a, b in zip(from_start[7:], later, strict=True))


def test_another_seed_draws_other_batches(tiny_batches):
    first = next(tiny_batches.from_step(0))
    other = next(replace(tiny_batches, seed=1).from_step(0))
    assert not same(first, other)


def test_an_epoch_holds_every_example_once_and_one_cut_a_batch(tiny_batches):
    chunks = tiny_batches.epoch(0)
    assert len(chunks) == tiny_batches.steps_per_epoch
    assert sorted(np.concatenate(chunks)) == list(range(len(tiny_batches.examples)))
    cuts = tiny_batches.examples.cut_of
    assert all(len(set(cuts[chunk])) == 1 for chunk in chunks)
    assert max(len(chunk) for chunk in chunks) <= tiny_batches.batch_size


def test_hits_are_the_own_items_of_a_query_but_its_target(tiny_batches):
    which = tiny_batches.epoch(0)[0]
    batch = tiny_batches.batch(which, np.random.default_rng(0))
    log = tiny_batches.examples.log
    candidates = batch.item_rows[batch.candidate_at].numpy()
    for query, example in enumerate(which):
        examples = tiny_batches.examples
        own = set(log.item_rows[examples.starts[example] : examples.target_ends[example]].tolist())
        expected = [item in own and column != query for column, item in enumerate(candidates)]
        assert batch.hits[query].tolist() == expected


def test_with_repeats_the_history_stays_a_negative(tiny_batches):
    which = tiny_batches.epoch(0)[0]
    masked = tiny_batches.batch(which, np.random.default_rng(0)).hits
    allowed = replace(tiny_batches, repeats=True).batch(which, np.random.default_rng(0)).hits
    assert masked.sum() > allowed.sum()
    assert not (allowed & ~masked).any()


def test_log_q_is_the_expected_share_of_the_draws(tiny_batches):
    which = tiny_batches.epoch(0)[0]
    batch = tiny_batches.batch(which, np.random.default_rng(0))
    cut = tiny_batches.examples.cut_of[which[0]]
    n_items, b, u = len(tiny_batches.examples.log.items), len(which), tiny_batches.n_uniform
    item = batch.item_rows[batch.candidate_at[0]].item()
    expected = (b * tiny_batches.target_shares[cut, item] + u / n_items) / (b + u)
    np.testing.assert_allclose(batch.log_q[0].exp().item(), expected, rtol=1e-5)


def test_features_of_a_batch_are_those_of_its_cut(tiny_batches):
    which = tiny_batches.epoch(0)[0]
    batch = tiny_batches.batch(which, np.random.default_rng(0))
    cut = tiny_batches.examples.cut_of[which[0]]
    rows = batch.item_rows[batch.candidate_at].numpy()
    assert np.array_equal(batch.candidate_features, tiny_batches.candidates.features[cut, rows])
