"""What any query tower holds: packed or padded, one or many, and nothing from the future."""

import math

import pytest
import torch
from torch import nn

from recbench.models.encoders.layout import Packed, Rectangle
from recbench.models.query_towers import Events, PooledQueryTower, Requests, SequenceQueryTower

DIM, WINDOW = 4, 2
LENGTHS = torch.tensor([3, 1, 5])


class Sums(nn.Module):
    """The simplest causal encoder: the sum of what has been."""

    def forward(self, events, layout, age_s):
        return layout.flat(layout.rectangle(events).cumsum(dim=1))


def tower_of(kind):
    torch.manual_seed(0)
    sizes = {"n_window_features": WINDOW, "embedding_dim": DIM, "hidden_dim": 8}
    tower = PooledQueryTower(**sizes) if kind == "pooled" else SequenceQueryTower(Sums(), **sizes)
    for parameter in tower.head.prior_weight.parameters():
        nn.init.normal_(parameter)  # so that it says something
    return tower


@pytest.fixture(params=["pooled", "sequence"])
def tower(request):
    return tower_of(request.param)


@pytest.fixture
def events():
    generator = torch.Generator().manual_seed(1)
    ages = torch.cat([torch.arange(n, 0, -1) * 3_600.0 for n in LENGTHS.tolist()])
    return Events(
        torch.randn(int(LENGTHS.sum()), DIM, generator=generator),
        Packed.of(LENGTHS),
        ages,
        torch.rand(int(LENGTHS.sum()), generator=generator),
    )


@pytest.fixture
def last():
    window = torch.rand(len(LENGTHS), WINDOW, generator=torch.Generator().manual_seed(2))
    return Requests(LENGTHS.cumsum(0) - 1, torch.full((len(LENGTHS),), 3_600.0), window)


def padded(events):
    """The same events as a rectangle whose padding is loud."""
    cells = events.layout.rectangle
    held = torch.arange(5) < LENGTHS[:, None]
    encoded = torch.where(held[..., None], cells(events.encoded), torch.tensor(1e3))
    age_s = torch.where(held, cells(events.age_s), torch.tensor(9e9))
    watched = torch.where(held, cells(events.watch_ratio), torch.tensor(7.0))
    layout = Rectangle.of(encoded)
    return Events(encoded.flatten(0, 1), layout, age_s.flatten(), watched.flatten())


def test_taste_has_unit_length_before_training(tower, events, last):
    embedded = tower(events, last)
    assert embedded.shape == (3, DIM + 1)
    torch.testing.assert_close(embedded[:, :-1].norm(dim=1), torch.ones(3))  # temperature 1


def test_the_weight_of_the_prior_starts_at_one(events, last):
    sizes = {"n_window_features": WINDOW, "embedding_dim": DIM, "hidden_dim": 8}
    for tower in (PooledQueryTower(**sizes), SequenceQueryTower(Sums(), **sizes)):
        torch.testing.assert_close(tower(events, last)[:, -1], torch.ones(3))


def test_padding_changes_nothing(tower, events, last):
    starts = torch.arange(3) * 5
    in_cells = last._replace(after=starts + LENGTHS - 1)
    torch.testing.assert_close(tower(padded(events), in_cells), tower(events, last))


def test_one_history_is_embedded_as_in_a_batch(tower, events, last):
    together, offset = tower(events, last), 0
    for row, length in enumerate(LENGTHS.tolist()):
        own = slice(offset, offset + length)
        alone = Events(
            events.encoded[own],
            Packed.of(LENGTHS[row : row + 1]),
            events.age_s[own],
            events.watch_ratio[own],
        )
        request = Requests(
            torch.tensor([length - 1]), last.gap_s[row : row + 1], last.window[row : row + 1]
        )
        torch.testing.assert_close(tower(alone, request)[0], together[row])
        offset += length


def test_a_request_in_the_middle_sees_nothing_later(events):
    tower = tower_of("sequence")
    middle = Requests(torch.tensor([1, 6]), torch.tensor([60.0, 5.0]), torch.ones(2, WINDOW))
    changed = events.encoded.clone()
    changed[2], changed[7:] = 9.0, -9.0  # all events after the second of each longer history
    watched = events.watch_ratio.clone()
    watched[2], watched[7:] = 2.0, 0.0
    after = events._replace(encoded=changed, watch_ratio=watched)
    torch.testing.assert_close(tower(after, middle), tower(events, middle))


def test_gap_watching_and_window_each_move_a_sequence_query(events, last):
    tower = tower_of("sequence")
    plain = tower(events, last)
    for other in (
        tower(events, last._replace(gap_s=last.gap_s * 5)),
        tower(events, last._replace(window=last.window + 1)),
        tower(events._replace(watch_ratio=torch.zeros_like(events.watch_ratio)), last),
        tower(events._replace(age_s=events.age_s * 2), last),
    ):
        assert (other - plain).abs().max() > 1e-3


def test_unknown_watching_is_told_from_none(events, last):
    tower = tower_of("sequence")
    none = events._replace(watch_ratio=torch.zeros_like(events.watch_ratio))
    unknown = events._replace(watch_ratio=torch.full_like(events.watch_ratio, -1.0))
    assert (tower(none, last) - tower(unknown, last)).abs().max() > 1e-3


def test_the_temperature_never_falls_below_its_floor(tower):
    with torch.no_grad():
        tower.head.log_temperature.fill_(math.log(1e-6))
    assert tower.temperature.item() == pytest.approx(0.05)
