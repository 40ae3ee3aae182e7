import pytest
import torch
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from recbench.errors import InputError
from recbench.training.full_softmax import CHUNK_QUERIES, full_softmax_loss

N_QUERIES, N_ITEMS, DIM = 2 * CHUNK_QUERIES + 7, 50, 6  # two chunks and a part of one


@pytest.fixture
def made():
    rng = torch.Generator().manual_seed(0)
    queries = torch.randn(N_QUERIES, DIM, dtype=torch.float64, generator=rng).requires_grad_()
    items = torch.randn(N_ITEMS, DIM, dtype=torch.float64, generator=rng).requires_grad_()
    return queries, items, torch.randint(N_ITEMS, (N_QUERIES,), generator=rng)


def test_full_softmax_matches_naive_loop(made):
    queries, items, targets = made
    losses = []
    for query, target in zip(queries, targets, strict=True):
        scores = [torch.dot(query, item) for item in items]
        losses.append(torch.stack(scores).exp().sum().log() - scores[target])
    naive = torch.stack(losses).mean()
    torch.testing.assert_close(full_softmax_loss(*made), naive)


def test_its_gradients_are_those_of_all_scores_at_once(made):
    queries, items, targets = made
    whole = 3.0 * functional.cross_entropy(queries @ items.T, targets)
    expected = torch.autograd.grad(whole, [queries, items])
    found = torch.autograd.grad(3.0 * full_softmax_loss(*made), [queries, items])
    torch.testing.assert_close(found, expected)


def largest_allocation(loss_of):
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        loss_of().backward()
    return max(event.self_cpu_memory_usage for event in profiler.events())


def test_scores_of_all_queries_are_never_held_at_once(made):
    queries, items, targets = made
    chunk = CHUNK_QUERIES * N_ITEMS * 8  # bytes
    whole = largest_allocation(lambda: functional.cross_entropy(queries @ items.T, targets))
    assert whole >= N_QUERIES * N_ITEMS * 8 > 2 * chunk
    assert largest_allocation(lambda: full_softmax_loss(*made)) <= chunk


def test_shapes_that_do_not_belong_together_are_refused(made):
    queries, items, targets = made
    with pytest.raises(InputError, match=r"got \(263, 6\), \(50, 5\) and \(263,\)"):
        full_softmax_loss(queries, items[:, :5], targets)


@pytest.mark.parametrize("row", [-100, 50])
def test_a_target_that_is_no_item_is_refused(made, row):
    queries, items, targets = made
    targets[3] = row
    with pytest.raises(InputError, match=f"from 0 to 49; got .*{row}"):
        full_softmax_loss(queries, items, targets)
