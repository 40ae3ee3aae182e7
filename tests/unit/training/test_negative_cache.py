import math
from collections import deque

import pytest
import torch
from torch import nn

from recbench.errors import InputError
from recbench.training.candidates import Candidates, accidental_hits
from recbench.training.losses import log_q_corrected
from recbench.training.negative_cache import NegativeCache

CAPACITY, DIM = 7, 3


def softmax_loss(logits, targets, *, log_q, hits):
    """The sampled softmax whose targets are columns of the candidates."""
    corrected = log_q_corrected(logits, log_q).masked_fill(hits, -torch.inf)
    return nn.functional.cross_entropy(corrected, targets)


def candidates(n, *, rng, n_items=20):
    return Candidates(
        torch.randn(n, DIM, generator=rng),
        torch.randint(n_items, (n,), generator=rng),
        -torch.rand(n, generator=rng) - 1.0,
    )


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)


def entries(held):
    """What is held, in an order of its own."""
    parts = (held.embeddings.tolist(), held.item_rows.tolist(), held.log_q.tolist())
    return sorted((row, tuple(vector), q) for vector, row, q in zip(*parts, strict=True))


def test_the_last_candidates_are_held_as_in_a_queue(rng):
    cache, queue = NegativeCache(CAPACITY, DIM), deque(maxlen=CAPACITY)
    assert len(cache.read().item_rows) == 0
    for n in (3, 2, 0, 4, 7, 1, 16, 5, 5):  # some fill it, one is larger than it
        pushed = candidates(n, rng=rng)
        cache.push(pushed)
        queue.extend(Candidates(*(field[at : at + 1] for field in pushed)) for at in range(n))
        assert entries(cache.read()) == entries(Candidates.joined(list(queue)))


def test_cached_negatives_in_the_loss_match_a_naive_loop(rng):
    cache = NegativeCache(CAPACITY, DIM)
    for _ in range(3):
        cache.push(candidates(4, rng=rng, n_items=6))
    queries = torch.randn(3, DIM, generator=rng)
    own = candidates(3, rng=rng, n_items=6)
    positives = [{int(own.item_rows[0]), 1}, {int(own.item_rows[1])}, {int(own.item_rows[2]), 4, 5}]
    owners = torch.tensor([query for query in range(3) for _ in positives[query]])
    rows = torch.tensor([row for items in positives for row in items])

    both = Candidates.joined([own, cache.read()])
    hits = accidental_hits(owners, rows, both.item_rows, n_queries=3)
    hits[range(3), range(3)] = False  # the targets themselves
    loss = softmax_loss(queries @ both.embeddings.T, torch.arange(3), log_q=both.log_q, hits=hits)

    held, losses, n_left_out = cache.read(), [], 0
    for query in range(3):
        scores = {}
        for part in (own, held):
            for at, row in enumerate(part.item_rows.tolist()):
                is_target = part is own and at == query
                if row in positives[query] and not is_target:
                    n_left_out += part is held
                    continue
                score = torch.dot(queries[query], part.embeddings[at]) - part.log_q[at]
                scores[part is held, at] = math.exp(score)
        losses.append(-math.log(scores[False, query] / sum(scores.values())))
    assert loss.item() == pytest.approx(sum(losses) / 3, rel=1e-5)
    assert n_left_out > 0


def test_gradients_reach_queries_and_own_candidates_but_never_the_cache(rng):
    cache = NegativeCache(CAPACITY, DIM)
    vectors = torch.randn(2, DIM, generator=rng).requires_grad_()
    cache.push(Candidates(vectors, torch.tensor([0, 1]), torch.zeros(2)))
    queries = torch.randn(2, DIM, generator=rng).requires_grad_()
    (queries @ cache.read().embeddings.T).sum().backward()
    assert vectors.grad is None
    torch.testing.assert_close(queries.grad, vectors.detach().sum(dim=0).expand(2, DIM))


def test_a_push_before_the_backward_pass_does_not_disturb_it(rng):
    cache = NegativeCache(CAPACITY, DIM)
    first = candidates(CAPACITY, rng=rng)
    cache.push(first)
    queries = torch.randn(2, DIM, generator=rng).requires_grad_()
    loss = (queries @ cache.read().embeddings.T).sum()
    cache.push(candidates(CAPACITY, rng=rng))
    loss.backward()
    torch.testing.assert_close(queries.grad, first.embeddings.sum(dim=0).expand(2, DIM))


def test_a_saved_cache_goes_on_where_it_was(rng, tmp_path):
    cache = NegativeCache(CAPACITY, DIM)
    cache.push(candidates(9, rng=rng))
    torch.save(cache.state_dict(), tmp_path / "cache")
    resumed = NegativeCache(CAPACITY, DIM)
    resumed.load_state_dict(torch.load(tmp_path / "cache", weights_only=True))
    more = candidates(3, rng=rng)
    for each in (cache, resumed):
        each.push(more)
    for ours, theirs in zip(resumed.read(), cache.read(), strict=True):
        assert torch.equal(ours, theirs)


def test_embeddings_of_another_dimension_are_refused(rng):
    with pytest.raises(InputError, match="of 4 dimensions, got 3"):
        NegativeCache(CAPACITY, 4).push(candidates(2, rng=rng))


def test_a_cache_of_nothing_is_refused():
    with pytest.raises(InputError, match="at least 1, got 0"):
        NegativeCache(0, DIM)
