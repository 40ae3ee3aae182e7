import math

import pytest
import torch

from recbench.errors import InputError
from recbench.training.impression_losses import click_and_watch_loss, click_loss

LOGITS = torch.tensor([2.0, -1.0, 0.5, -3.0], dtype=torch.float64)
CLICKED = torch.tensor([True, False, True, True])


def log_losses():
    """By hand: minus the log of the chance that is given to what happened."""
    chances = [1 / (1 + math.exp(-logit)) for logit in LOGITS.tolist()]
    return [-math.log(p if c else 1 - p) for p, c in zip(chances, CLICKED.tolist(), strict=True)]


def test_click_loss_matches_naive_loop():
    assert click_loss(LOGITS, CLICKED).item() == pytest.approx(sum(log_losses()) / 4)


def test_click_loss_weighs_impressions_whatever_the_scale():
    weights = torch.tensor([1.0, 0.0, 3.0, 4.0], dtype=torch.float64)
    expected = sum(w * x for w, x in zip(weights.tolist(), log_losses(), strict=True)) / 8
    assert click_loss(LOGITS, CLICKED, weights=weights).item() == pytest.approx(expected)
    assert click_loss(LOGITS, CLICKED, weights=7 * weights).item() == pytest.approx(expected)


def test_weighted_by_watch_time_the_odds_are_seconds_by_impression_without_a_click():
    # one logit for all: its best odds are the sum of watch times over the unclicked, 120 / 3
    clicked = torch.tensor([True, False, False, True, False])
    weights = torch.where(clicked, torch.tensor([90.0, 0.0, 0.0, 30.0, 0.0]), 1.0)
    logit = torch.tensor(math.log(120 / 3), requires_grad=True)
    click_loss(logit.expand(5), clicked, weights=weights).backward()
    assert logit.grad.item() == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize(
    ("clicked", "told"),
    [
        (torch.tensor([1.0, 0.0, 1.0, 1.0]), r"got torch.float32 of shape \(4,\)"),
        (torch.tensor([True]), r"got torch.bool of shape \(1,\)"),
    ],
)
def test_clicks_that_do_not_fit_the_logits_are_refused(clicked, told):
    with pytest.raises(InputError, match=told):
        click_loss(LOGITS, clicked)


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ([1.0], r"shape \(4,\), as `logits`; got \(1,\)"),
        ([1.0, -0.5, 1.0, 1.0], "minimum of -0.5"),
        ([0.0, 0.0, 0.0, 0.0], "a sum of 0.0"),
        ([1.0, math.inf, 1.0, 1.0], "a sum of inf"),
        ([1.0, math.nan, 1.0, 1.0], "a sum of nan"),
    ],
)
def test_weights_that_cannot_weigh_are_refused(weights, told):
    with pytest.raises(InputError, match=told):
        click_loss(LOGITS, CLICKED, weights=torch.tensor(weights))


LOG_WATCH = torch.tensor([3.0, 1.0, 2.0, 0.5], dtype=torch.float64)
WATCH_S = torch.tensor([60.0, 500.0, -1.0, 4.0], dtype=torch.float64)


def both(**changed):
    options = {"clicked": CLICKED, "watch_s": WATCH_S, "watch_weight": 0.5}
    return click_and_watch_loss(LOGITS, LOG_WATCH, **(options | changed))


def test_watching_counts_for_clicks_with_a_known_watch_time():
    # of the four, the second was not clicked and the third not timed
    squares = [(3.0 - math.log(61)) ** 2, (0.5 - math.log(5)) ** 2]
    expected = sum(log_losses()) / 4 + 0.5 * sum(squares) / 2
    assert both().item() == pytest.approx(expected)


def test_unknown_watch_times_may_be_nan_and_leave_no_trace_in_the_gradient():
    watch_s = WATCH_S.clone()
    watch_s[2] = math.nan
    log_watch = LOG_WATCH.clone().requires_grad_()
    options = {"clicked": CLICKED, "watch_s": watch_s, "watch_weight": 0.5}
    click_and_watch_loss(LOGITS, log_watch, **options).backward()
    # weight 0.5, times 2 from the square, over 2 that are known
    slopes = [0.5 * (3.0 - math.log(61)), 0.0, 0.0, 0.5 * (0.5 - math.log(5))]
    torch.testing.assert_close(log_watch.grad, torch.tensor(slopes, dtype=torch.float64))


def test_with_no_watch_time_known_it_is_the_click_loss():
    assert both(watch_s=torch.full_like(WATCH_S, -1.0)) == click_loss(LOGITS, CLICKED)


def test_watch_times_of_other_impressions_are_refused():
    with pytest.raises(InputError, match=r"got \(4,\) and \(3,\)"):
        both(watch_s=WATCH_S[:3])


def test_a_watch_weight_of_zero_is_refused():
    with pytest.raises(InputError, match="positive, got 0.0; for clicks alone: `click_loss`"):
        both(watch_weight=0.0)
