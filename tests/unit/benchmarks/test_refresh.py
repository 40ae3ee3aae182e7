"""The refresh bench at a small size, and the world it is measured in."""

import polars as pl
import pytest

from recbench import columns as c
from recbench.benchmarks import refresh
from recbench.benchmarks.taste_world import taste_world
from recbench.errors import InputError
from recbench.settings import Experiment, TowerSettings, TrainingSettings


def test_one_seed_gives_one_world_in_order_of_time():
    events, items = taste_world(2_000, seed=1)
    again, _ = taste_world(2_000, seed=1)
    assert events.equals(again)
    assert events[c.TS].is_sorted()
    assert events[c.EVENT_ID].is_unique().all()
    assert len(items) == 8
    assert events[c.ITEM_ID].is_in(items[c.ITEM_ID].implode()).all()


def test_users_keep_to_a_taste():
    events, items = taste_world(20_000, seed=1)
    taste = events.join(items, on=c.ITEM_ID)
    most = taste.group_by(c.USER_ID).agg(
        (pl.col(c.CATEGORY).value_counts(sort=True).first().struct.field("count") / pl.len())
        .first()
        .alias("share"),
        pl.len(),
    )
    # seven in ten are of the own taste: far above an even fortieth
    assert most.filter(pl.col("len") >= 20)["share"].mean() > 0.5


def test_its_figures_are_those_of_its_runs(monkeypatch):
    def small(**dials):
        dials["training"] = TrainingSettings(max_steps=40, batch_size=32, n_uniform=50, n_cuts=6)
        return Experiment(**dials, towers=TowerSettings(embedding_dim=8, hidden_dim=8))

    monkeypatch.setattr(refresh, "Experiment", small)
    result = refresh.run(runs=1, events=8_000)
    (run,) = result.runs
    assert run["update_cpu_frac"] == run["update_cpu_s"] / run["full_fit_cpu_s"]
    assert run["job_cpu_s"] > run["update_cpu_s"] > 0
    assert set(refresh.KEYS) <= result.figures.keys()


def test_nothing_to_measure_is_refused():
    with pytest.raises(InputError, match=r"must be positive, got \(0, 5000000\)"):
        refresh.run(runs=0)
