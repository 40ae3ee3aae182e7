"""Figures of a search say what they show."""

import polars as pl

from recbench.widgets.search import dial_figure, history_figure

TRIALS = pl.DataFrame(
    {
        "number": [0, 1, 2, 3],
        "state": ["complete", "pruned", "complete", "complete"],
        "value": [0.1, None, 0.3, 0.2],
        "learning_rate": [1e-3, 5e-2, 2e-3, 4e-3],
    }
)


def test_the_history_counts_what_was_pruned_and_names_the_best():
    (axes,) = history_figure(TRIALS, metric="ndcg@20").axes
    assert axes.get_title(loc="left") == "3 trials to the end, 1 pruned; the best has 0.3000"
    best = next(line for line in axes.lines if line.get_label() == "best so far")
    assert best.get_ydata().tolist() == [0.1, 0.3, 0.3]


def test_a_dial_is_marked_where_it_was_best():
    (axes,) = dial_figure(TRIALS, dial="learning_rate", metric="ndcg@20").axes
    assert axes.get_title(loc="left") == "The best trial has learning_rate = 0.002"
    assert axes.get_xlabel() == "learning rate"
    assert len(axes.lines[0].get_xdata()) == 3
