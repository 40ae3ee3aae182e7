"""Packed and padded sequences hold the same events."""

import torch

from recbench.models.encoders.layout import Packed, Rectangle

LENGTHS = torch.tensor([2, 4, 1])


def test_packed_events_come_back_from_their_cells():
    layout, events = Packed.of(LENGTHS), torch.arange(7) * 10
    cells = layout.rectangle(events)
    assert cells.tolist() == [[0, 10, 10, 10], [20, 30, 40, 50], [60, 60, 60, 60]]
    assert layout.flat(cells).tolist() == events.tolist()
    assert layout.positions.tolist() == [0, 1, 0, 1, 2, 3, 0]
    assert layout.sequences.tolist() == [0, 0, 1, 1, 1, 1, 2]


def test_a_rectangle_counts_every_cell():
    cells = torch.arange(6).reshape(2, 3)
    layout = Rectangle.of(cells)
    assert layout.flat(cells).tolist() == [0, 1, 2, 3, 4, 5]
    assert layout.rectangle(layout.flat(cells)).tolist() == cells.tolist()
    assert layout.positions.tolist() == [0, 1, 2, 0, 1, 2]
    assert layout.sequences.tolist() == [0, 0, 0, 1, 1, 1]


def test_trailing_dimensions_stay():
    layout, events = Packed.of(LENGTHS), torch.randn(7, 5, 2)
    assert layout.rectangle(events).shape == (3, 4, 5, 2)
    assert torch.equal(layout.flat(layout.rectangle(events)), events)
