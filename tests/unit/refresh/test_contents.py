"""A release's tables: what is written, and that it is enough to serve from."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recbench.errors import InputError
from recbench.features.batch import window_lookup
from recbench.features.definitions import WindowFeature
from recbench.features.shipped import DEFAULT_WINDOW_FEATURES
from recbench.refresh.contents import Contents, write_contents
from recbench.tables.queries import InteractionLog
from recbench.tables.vocabulary import Vocabulary

START = datetime(2026, 1, 1, tzinfo=UTC)
EMBEDDINGS = np.arange(6, dtype=np.float32).reshape(2, 3).T


@pytest.fixture
def write(registry, a_manifest):
    """Seals a release of three items from four events, one of them not clicked."""

    def seal(events, embeddings=EMBEDDINGS, window_features=DEFAULT_WINDOW_FEATURES, tombstones=()):
        with registry.draft() as draft:
            write_contents(
                draft,
                tombstones=np.array(tombstones, dtype=np.int64),
                items=Vocabulary([30, 10, 20]),
                item_features=pl.DataFrame({"item_id": [10, 30, 99], "title": ["A", "C", "Z"]}),
                events=events,
                candidate_embeddings=embeddings,
                popularity={"half_life_60_s": np.array([1.0, 0.5, 0.0])},
                window_features=window_features,
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


def test_only_clicks_make_users_and_histories(write, events):
    release = write(events)
    log = InteractionLog.from_events(Contents.read(release).interactions)
    assert log.users.ids.tolist() == [4, 5]
    assert len(log) == 3
    assert pl.read_parquet(release.path("users.parquet"))["user_id"].to_list() == [4, 5]


def test_what_was_not_clicked_is_kept_only_where_a_window_feature_adds_it_up(write, events):
    assert Contents.read(write(events)).interactions["user_id"].to_list() == [5, 5, 4, 6]
    unwatched = events.with_columns(pl.lit(None, pl.Int64).alias("watch_ms"))
    assert Contents.read(write(unwatched)).interactions["user_id"].to_list() == [5, 5, 4]


def test_every_event_is_kept_where_a_feature_counts_events(write, events):
    shown = WindowFeature(
        name="shown",
        entity="user_id",
        aggregation="count",
        value=None,
        window=timedelta(hours=1),
    )
    unwatched = events.drop("watch_ms")
    contents = Contents.read(write(unwatched, window_features=[shown]))
    assert contents.interactions["user_id"].to_list() == [5, 5, 4, 6]
    clicked = replace(shown, of="clicks")
    contents = Contents.read(write(unwatched, window_features=[clicked]))
    assert contents.interactions["user_id"].to_list() == [5, 5, 4]


def test_what_derived_values_and_lateness_are_made_of_is_kept(write, events):
    jumps = WindowFeature(
        name="jumps",
        entity="user_id",
        aggregation="sum",
        value="category_jump",
        window=timedelta(hours=1),
        of="clicks",
    )
    labelled = events.with_columns(category=pl.lit("A"), watermark=pl.col("ts"))
    interactions = Contents.read(write(labelled, window_features=[jumps])).interactions
    assert interactions.columns == ["user_id", "item_id", "ts", "clicked", "watermark", "category"]
    assert interactions["user_id"].to_list() == [5, 5, 4]


def test_events_need_no_watch_time(write, events):
    contents = Contents.read(write(events.drop("watch_ms")))
    assert contents.interactions.columns == ["user_id", "item_id", "ts", "clicked"]


def test_window_features_of_a_release_are_those_of_training(write, events):
    # user 6 did not click, but watched for 4 ms
    users, soon = np.array([5, 6]), np.full(2, int(START.timestamp() + 60) * 1_000_000)
    held = Contents.read(write(events)).interactions
    served = window_lookup(held, DEFAULT_WINDOW_FEATURES)(users, soon)
    assert served.tolist() == [[2, 1], [0, 4]]
    assert served.tolist() == window_lookup(events, DEFAULT_WINDOW_FEATURES)(users, soon).tolist()


def test_the_watermark_is_that_of_the_manifest(write, events):
    # 2026-01-01 11:00 UTC is 1,767,265,200 s after the epoch
    assert Contents.read(write(events)).watermark_us == 1_767_265_200_000_000


@pytest.mark.parametrize(
    ("embeddings", "message"),
    [
        (np.zeros((2, 4)), r"expected \(3, D\), got \(2, 4\)"),
        (np.zeros(3), r"expected \(3, D\), got \(3,\)"),
        (np.array([[0, 1], [np.nan, 1], [np.inf, 1]]), "of 2 items are not finite"),
    ],
)
def test_embeddings_that_could_not_be_served_are_refused(write, events, embeddings, message):
    with pytest.raises(InputError, match=message):
        write(events, embeddings.astype(np.float32))


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
        "tombstones.parquet",
        "users.parquet",
    ]


def test_tombstones_are_rows_again(write, events):
    assert Contents.read(write(events, tombstones=[2, 0])).tombstones.tolist() == [2, 0]
