import polars as pl

from recbench.widgets import training


def test_the_title_states_the_gain_over_the_prior():
    figure = training.learning_curve_figure(
        [(0, 0.20), (20, 0.25)], best_step=20, baseline=0.2, metric="ndcg@20"
    )
    assert figure.axes[0].get_title(loc="left") == (
        "Best after 20 steps: +25.0 % over recency popularity"
    )


def test_the_title_states_the_rank_among_models_with_known_users():
    table = pl.DataFrame(
        {
            "model": ["a", "two-tower", "b"],
            "ndcg@20 known": [0.3, 0.2, None],
            "low": [0.2, 0.1, None],
            "high": [0.4, 0.3, None],
        }
    )
    figure = training.result_figure(table, metric="ndcg@20", model="two-tower", reference="a")
    title = figure.axes[0].get_title(loc="left")
    assert title == "On known users the two-tower is number 2 of 2"


def test_half_lives_are_drawn_with_their_unit():
    figures = pl.DataFrame({"half_life_days": [1.0, 4.0], "ndcg@20": [0.1, 0.2]})
    figure = training.half_life_figure(figures, best=4.0, metric="ndcg@20")
    assert figure.axes[0].get_xlabel() == "half-life of the popularity, days"
