import math

import pytest
import torch

from recbench.training.losses import (
    binary_cross_entropy_loss,
    bpr_loss,
    distillation_loss,
    log_q_corrected,
    sampled_softmax_loss,
    watch_loss,
)


def test_log_q_correction_matches_naive_loop():
    logits = torch.tensor([[2.0, 1.0], [0.0, 3.0]])
    log_q = torch.tensor([0.5, 0.25]).log()
    naive = [[logits[i, j].item() / 0.5 - log_q[j].item() for j in range(2)] for i in range(2)]
    torch.testing.assert_close(log_q_corrected(logits, log_q, temperature=0.5), torch.tensor(naive))


def test_a_log_q_for_other_candidates_is_refused():
    with pytest.raises(ValueError, match=r"expected shape \(3,\), got \(2,\)"):
        log_q_corrected(torch.zeros(2, 3), torch.zeros(2))


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(ValueError, match="positive, got 0"):
        log_q_corrected(torch.zeros(2, 3), torch.zeros(3), temperature=0)


POSITIVE = torch.tensor([2.0, -0.5, 0.3])
NEGATIVES = torch.tensor([[1.0, 0.5], [3.0, -1.0], [0.2, 0.1]])
HITS = torch.tensor([[False, True], [False, False], [True, True]])


def of_each(loss_of):
    """A loss of (target, negative) pairs: by target, the mean over its negatives."""
    found = []
    for row in range(3):
        values = [
            loss_of(POSITIVE[row].item(), NEGATIVES[row, j].item())
            for j in range(2)
            if not HITS[row, j]
        ]
        found.append(sum(values) / max(1, len(values)))
    return found


def test_sampled_softmax_matches_naive_loop():
    log_q, own_log_q = torch.tensor([0.25, 0.125]).log(), torch.tensor([0.5, 0.2, 0.1]).log()
    losses = []
    for row in range(3):
        own = math.exp(POSITIVE[row] - own_log_q[row])
        others = [math.exp(NEGATIVES[row, j] - log_q[j]) for j in range(2) if not HITS[row, j]]
        losses.append(-math.log(own / (own + sum(others))))
    loss = sampled_softmax_loss(
        POSITIVE, NEGATIVES, positive_log_q=own_log_q, log_q=log_q, hits=HITS
    )
    assert loss.item() == pytest.approx(sum(losses) / 3)


def test_bpr_matches_naive_loop():
    expected = of_each(lambda pos, neg: -math.log(1 / (1 + math.exp(neg - pos))))
    assert bpr_loss(POSITIVE, NEGATIVES, hits=HITS).item() == pytest.approx(sum(expected) / 3)


def test_binary_cross_entropy_matches_naive_loop():
    expected = [
        unclicked - math.log(1 / (1 + math.exp(-POSITIVE[row])))
        for row, unclicked in enumerate(of_each(lambda _, neg: -math.log(1 / (1 + math.exp(neg)))))
    ]
    found = binary_cross_entropy_loss(POSITIVE, NEGATIVES, hits=HITS)
    assert found.item() == pytest.approx(sum(expected) / 3)


def test_watch_loss_is_over_known_shares_only():
    predicted, ratio = torch.tensor([0.4, -1.0, 2.0]), torch.tensor([0.25, -1.0, 1.7])
    chance = [1 / (1 + math.exp(-0.4)), 1 / (1 + math.exp(-2.0))]
    expected = [
        -0.25 * math.log(chance[0]) - 0.75 * math.log(1 - chance[0]),
        -math.log(chance[1]),  # watched more than once counts as whole
    ]
    assert watch_loss(predicted, ratio).item() == pytest.approx(sum(expected) / 2)
    assert watch_loss(predicted, torch.full((3,), -1.0)).item() == 0.0


@pytest.mark.parametrize("loss", [bpr_loss, binary_cross_entropy_loss])
def test_hits_have_no_gradient(loss):
    negatives = NEGATIVES.clone().requires_grad_()
    loss(POSITIVE, negatives, hits=HITS).backward()
    assert torch.equal(negatives.grad != 0, ~HITS)


def test_with_log_q_a_sample_estimates_the_full_softmax():
    # scores s and a sampler q: over many draws, the corrected partition sum is unbiased
    torch.manual_seed(0)
    scores, q = torch.randn(50), torch.softmax(torch.randn(50), 0)
    drawn = torch.multinomial(q, 200_000, replacement=True)
    estimate = log_q_corrected(scores[drawn][None], q[drawn].log()).exp().mean()
    ratio = (scores.exp() / q)[drawn]
    standard_error = ratio.std() / math.sqrt(len(drawn))
    assert abs(estimate - scores.exp().sum()) < 4 * standard_error


def test_distillation_matches_naive_loop():
    torch.manual_seed(3)
    own, parent = torch.randn(4, 6, dtype=torch.float64), torch.randn(4, 6, dtype=torch.float64)
    expected = 0.0
    for row, other in zip(own, parent, strict=True):
        p, q = other.exp() / other.exp().sum(), row.exp() / row.exp().sum()
        expected += sum(float(a * (a / b).log()) for a, b in zip(p, q, strict=True)) / 4
    assert distillation_loss(own, parent).item() == pytest.approx(expected)
    assert distillation_loss(parent, parent + 3.0).item() == pytest.approx(0.0, abs=1e-12)
