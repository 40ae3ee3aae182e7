import math

import pytest
import torch

from recbench.training.losses import log_q_corrected, sampled_softmax_loss


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


def test_sampled_softmax_matches_naive_loop():
    logits = torch.tensor([[2.0, 1.0, 0.5], [0.0, 3.0, -1.0]])
    log_q = torch.tensor([0.5, 0.25, 0.125]).log()
    hits = torch.tensor([[False, False, True], [False, False, False]])
    losses = []
    for query, target in enumerate([0, 1]):
        weights = [
            0.0 if hits[query, j] else math.exp(logits[query, j] - log_q[j]) for j in range(3)
        ]
        losses.append(-math.log(weights[target] / sum(weights)))
    loss = sampled_softmax_loss(logits, torch.tensor([0, 1]), log_q=log_q, hits=hits)
    assert loss.item() == pytest.approx(sum(losses) / 2)


def test_with_log_q_a_sample_estimates_the_full_softmax():
    # scores s and a sampler q: over many draws, the corrected partition sum is unbiased
    torch.manual_seed(0)
    scores, q = torch.randn(50), torch.softmax(torch.randn(50), 0)
    drawn = torch.multinomial(q, 200_000, replacement=True)
    estimate = log_q_corrected(scores[drawn][None], q[drawn].log()).exp().mean()
    ratio = (scores.exp() / q)[drawn]
    standard_error = ratio.std() / math.sqrt(len(drawn))
    assert abs(estimate - scores.exp().sum()) < 4 * standard_error
