from dataclasses import replace
from itertools import islice

import numpy as np
import torch


def tensors(batch):
    """All tensors of a batch, in order."""
    if batch is None or isinstance(batch, bool | torch.Tensor):
        return [batch] if isinstance(batch, torch.Tensor) else []
    return [tensor for part in batch for tensor in tensors(part)]


def same(a, b):
    return all(
        left.shape == right.shape and torch.equal(left, right)
        for left, right in zip(tensors(a), tensors(b), strict=True)
    )


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


def test_hits_are_the_own_items_of_a_query(tiny_batches):
    which = tiny_batches.epoch(0)[0]
    batch = tiny_batches.batch(which, np.random.default_rng(0))
    log = tiny_batches.examples.log
    candidates = batch.item_rows[batch.candidate_at].numpy()
    for query, example in enumerate(which):
        examples = tiny_batches.examples
        own = set(log.item_rows[examples.starts[example] : examples.target_ends[example]].tolist())
        expected = [item in own for item in candidates]
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
    item = batch.item_rows[batch.candidate_at[0]].numpy()
    share = tiny_batches.shares.at(int(cut), item[None])[0]
    expected = (b * share + u / n_items) / (b + u)
    np.testing.assert_allclose(batch.log_q[0].exp().item(), expected, rtol=1e-5)


def test_features_of_a_batch_are_those_of_its_cut(tiny_batches):
    which = tiny_batches.epoch(0)[0]
    batch = tiny_batches.batch(which, np.random.default_rng(0))
    examples = tiny_batches.examples
    instant = int(examples.cuts[examples.cut_of[which[0]]])
    for at, features, log_prior in (
        (batch.candidate_at, batch.candidate_features, batch.candidate_log_prior),
        (batch.points.target_at, batch.target_features, batch.target_log_prior),
    ):
        expected = tiny_batches.candidates.at(instant, batch.item_rows[at].numpy())
        assert np.array_equal(features, expected.features)
        assert np.array_equal(log_prior, expected.log_prior)


def test_events_are_the_last_of_each_history_strictly_before_the_cut(tiny_batches):
    which = tiny_batches.epoch(0)[0]
    batch = tiny_batches.batch(which, np.random.default_rng(0))
    examples, log = tiny_batches.examples, tiny_batches.examples.log
    items = batch.item_rows[batch.event_at]
    at = 0
    for row, example in enumerate(which):
        own = slice(examples.starts[example], examples.ends[example])
        last = log.item_rows[own][-tiny_batches.history_length :]
        assert items[at : at + len(last)].tolist() == last.tolist()
        ages = (examples.query_ts[example] - log.ts[own][-len(last) :]) / 1e6
        np.testing.assert_allclose(batch.age_s[at : at + len(last)], ages, rtol=1e-6)
        at += len(last)
        assert batch.points.after[row] == at - 1
        np.testing.assert_allclose(batch.points.gap_s[row], ages[-1], rtol=1e-6)
    assert at == len(items)


def next_events(batches, which):
    """By a plain loop: (history, item, item of the last event seen, gap) of each next event."""
    examples, log = batches.examples, batches.examples.log
    found = []
    for row, example in enumerate(which):
        start = max(examples.starts[example], examples.ends[example] - batches.history_length)
        targets = range(start + 1, examples.ends[example])
        if examples.every_position:
            targets = range(examples.target_starts[example], examples.target_ends[example])
        for target in targets:
            seen = [p for p in range(start, target) if log.ts[p] < log.ts[target]]
            if seen:
                gap = (log.ts[target] - log.ts[seen[-1]]) / 1e6
                found.append((row, log.item_rows[target], log.item_rows[seen[-1]], gap))
    return found


def as_told(batch, points):
    return list(
        zip(
            points.history.tolist(),
            batch.item_rows[points.target_at].tolist(),
            batch.item_rows[batch.event_at][points.after].tolist(),
            points.gap_s.tolist(),
            strict=True,
        )
    )


def test_inner_targets_are_the_next_events_after_what_was_strictly_before(inner_batches):
    which = inner_batches.epoch(0)[0]
    batch = inner_batches.batch(which, np.random.default_rng(0))
    expected = next_events(inner_batches, which)
    assert len(expected) > 3 * len(which)
    for told, looped in zip(as_told(batch, batch.inner), expected, strict=True):
        assert told[:3] == looped[:3]
        np.testing.assert_allclose(told[3], looped[3], rtol=1e-6)


def test_sequences_have_every_next_event_once(sequence_batches):
    log, examples = sequence_batches.examples.log, sequence_batches.examples
    which = np.arange(len(examples))
    found, instants = 0, examples.cuts[examples.cut_of]
    for number in which:
        first, last = examples.target_starts[number], examples.target_ends[number]
        assert 0 < last - first <= sequence_batches.history_length
        assert (log.ts[first:last] >= instants[number]).all()
        found += last - first
    queries = log.queries(log.users.ids[log.user_rows], log.ts)
    assert found == (queries.is_known & (log.ts >= examples.cuts[0])).sum()


def test_points_of_sequences_are_their_next_events(sequence_batches):
    which = sequence_batches.epoch(0)[0]
    batch = sequence_batches.batch(which, np.random.default_rng(0))
    assert batch.inner is None
    for told, looped in zip(
        as_told(batch, batch.points), next_events(sequence_batches, which), strict=True
    ):
        assert told[:3] == looped[:3]
        np.testing.assert_allclose(told[3], looped[3], rtol=1e-6)


def test_windows_of_next_events_are_those_of_their_instant(inner_batches):
    which = inner_batches.epoch(0)[0]
    batch = inner_batches.batch(which, np.random.default_rng(0))
    log = inner_batches.examples.log
    rows = inner_batches._inner(
        which,
        np.maximum(
            inner_batches.examples.starts[which],
            inner_batches.examples.ends[which] - inner_batches.history_length,
        ),
    ).target
    assert np.array_equal(batch.inner.window, inner_batches.click_windows[rows])
    assert batch.item_rows[batch.inner.target_at].tolist() == log.item_rows[rows].tolist()
