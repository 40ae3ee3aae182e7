"""A release answers as the model that was trained, on a log that is not all clicks."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from recbench import columns as c
from recbench.jobs.build import Cut, fit_two_tower
from recbench.jobs.publish import make_release
from recbench.refresh import Registry
from recbench.serving import ReleasedRecommender
from recbench.settings import ExportSettings

DAY_US = 86_400_000_000


@pytest.fixture(scope="module")
def impressions(tiny_data):
    """Every third event was watched but not clicked, all of the last hours among them."""
    events = tiny_data.events
    late = pl.col(c.TS) > events[c.TS].max() - pl.duration(hours=6)
    shown_only = (pl.int_range(pl.len()) % 3 == 0) | late
    events = events.with_columns((~shown_only).alias(c.CLICKED))
    return replace(tiny_data, protocol="impressions", events=events)


@pytest.fixture(scope="module")
def fitted(impressions, tiny_experiment):
    at = int(impressions.watermark.timestamp()) * 1_000_000 + 1  # whole minutes in this log
    return fit_two_tower(
        impressions,
        impressions.events,
        Cut(at=at, horizon_us=3 * DAY_US, half_life_s=5 * 86_400.0),
        experiment=tiny_experiment,
        steps=0,
    )


@pytest.fixture(scope="module")
def released(impressions, fitted, tiny_experiment, graphs_once, tmp_path_factory):
    release = make_release(
        fitted,
        impressions,
        impressions.events,
        registry=Registry(tmp_path_factory.mktemp("workspace") / "registry"),
        experiment=replace(tiny_experiment, export=ExportSettings(precisions=())),
        metrics={},
    )
    return ReleasedRecommender.load(release)


def test_the_log_tells_the_watermark_from_the_last_click(fitted, released):
    assert released.log.ts.max() < released.contents.watermark_us == fitted.at - 1


def test_the_tower_sees_what_it_saw_in_training(fitted, released):
    users = np.append(fitted.log.users.ids, 10**9)
    asked = fitted.log.queries(users, fitted.at)
    window = fitted.model.window_features(asked.user_ids, asked.ts)
    assert window[:, 1].any()  # somebody was watching just before the watermark
    expected = fitted.model.query_embeddings(asked)
    assert released.query_embeddings(released.queries(users)) == pytest.approx(expected, abs=1e-5)


def test_a_score_a_minute_after_a_view_sees_it_though_it_was_not_clicked(
    fitted, released, impressions
):
    viewed = impressions.events.filter(~pl.col(c.CLICKED)).select(c.USER_ID, c.ITEM_ID, c.TS)[::7]
    pairs = viewed.with_columns(pl.col(c.TS) + pl.duration(minutes=1))
    ts = pairs[c.TS].dt.epoch("us").to_numpy()
    scores = fitted.model.score_items(fitted.log.queries(pairs[c.USER_ID], ts))
    rows = fitted.model.items.rows(pairs[c.ITEM_ID])
    expected = scores[np.arange(len(rows)), rows]
    served = released.score(pairs)[c.SCORE].to_numpy()
    assert served == pytest.approx(expected, rel=1e-4, abs=1e-4)
