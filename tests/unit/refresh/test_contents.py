"""A release's tables: what is written, and that it is enough to serve from."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from recbench.features.definitions import DEFAULT_WINDOW_FEATURES
from recbench.refresh.contents import Contents, write_contents
from recbench.tables.vocabulary import Vocabulary

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def write(registry, a_manifest):
    """Seals a release of three items from four events, one of them not clicked."""

    def seal(events):
        with registry.draft() as draft:
            write_contents(
                draft,
                items=Vocabulary([30, 10, 20]),
                item_features=pl.DataFrame({"item_id": [10, 30, 99], "title": ["A", "C", "Z"]}),
                events=events,
                candidate_embeddings=np.arange(6, dtype=np.float32).reshape(2, 3).T,
                popularity={"half_life_60_s": np.array([1.0, 0.5, 0.0])},
                window_features=DEFAULT_WINDOW_FEATURES,
                history_length=7,
                metrics={"ndcg@20": {"known": 0.25}},
            )
            return registry.seal(draft, a_manifest())

    return seal


@pytest.fixture
def events():
    return pl.DataFrame(
        {
            "event_id": [1, 2, 3, 4],
            "user_id": [5, 5, 4, 6],
            "item_id": [10, 20, 30, 10],
            "ts": [START] * 4,
            "clicked": [True, True, True, False],
            "watch_ms": [1, None, 3, 4],
        }
    )


def test_item_features_follow_the_item_rows(write, events):
    contents = Contents.read(write(events))
    assert contents.items == Vocabulary([30, 10, 20])
    assert contents.item_features.rows() == [(30, "C"), (10, "A"), (20, None)]


def test_embeddings_are_kept_to_the_bit_whatever_their_layout(write, events):
    contents = Contents.read(write(events))
    assert contents.candidate_embeddings.tolist() == [[0, 3], [1, 4], [2, 5]]


def test_only_clicks_become_interactions_and_users(write, events):
    release = write(events)
    contents = Contents.read(release)
    assert contents.interactions.columns == ["user_id", "item_id", "ts", "watch_ms"]
    assert contents.interactions["user_id"].to_list() == [5, 5, 4]
    assert pl.read_parquet(release.path("users.parquet"))["user_id"].to_list() == [4, 5]


def test_events_need_no_watch_time(write, events):
    contents = Contents.read(write(events.drop("watch_ms")))
    assert contents.interactions.columns == ["user_id", "item_id", "ts"]


def test_feature_definitions_and_popularity_travel_along(write, events):
    release = write(events)
    contents = Contents.read(release)
    assert contents.window_features == DEFAULT_WINDOW_FEATURES
    assert contents.history_length == 7
    popularity = pl.read_parquet(release.path("popularity.parquet"))
    assert popularity.rows() == [(30, 1.0), (10, 0.5), (20, 0.0)]
    assert sorted(release.manifest.files) == [
        "features.json",
        "index.safetensors",
        "interactions.parquet",
        "items.parquet",
        "metrics.json",
        "popularity.parquet",
        "users.parquet",
    ]
