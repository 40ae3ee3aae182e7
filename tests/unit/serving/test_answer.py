"""One request answered by the toy release; by hand or as offline."""

import dataclasses
from datetime import UTC, datetime

import numpy as np
import pytest

from recbench.features.online.columns import NULL
from recbench.features.online.recent import RecentClicks
from recbench.serving import ReleasedRecommender
from recbench.serving.answer import (
    answer_list,
    answer_lists,
    answer_scores,
    popularity_list,
)
from recbench.serving.requests import LATEST, AskedList, AskedScores, GivenHistory
from recbench.serving.served_release import ServedRelease
from recbench.serving.stored_user import StoredUser

START_US = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
HOUR_US = 3_600_000_000
WATERMARK_US = START_US + HOUR_US  # user 2 clicked 30 then


@pytest.fixture
def served(seal_toy):
    return ServedRelease.load(seal_toy().release)


def pairs(answer):
    return list(zip(answer.item_ids, answer.scores.tolist(), strict=True))


def ids(*values):
    return np.array(values, dtype=np.int64)


def given(*item_ids, ts=None):
    times = [LATEST] * len(item_ids) if ts is None else ts
    return GivenHistory(ids(*item_ids), ids(*times), np.full(len(item_ids), -1, np.float32))


def stored(*clicks, at_us=WATERMARK_US + HOUR_US, **features):
    """(item, microseconds after the watermark) each."""
    items, after = zip(*clicks, strict=True) if clicks else ((), ())
    recent = RecentClicks(
        ids(*items), ids(*after) + WATERMARK_US, np.full(len(items), NULL, dtype=np.int64)
    )
    return StoredUser(features, recent, at_us)


def test_lists_are_those_of_the_release_offline(seal_toy):
    for protocol in ("masked", "next_basket"):
        release = seal_toy(protocol).release
        served, offline = ServedRelease.load(release), ReleasedRecommender.load(release)
        for user in (1, 2, 99):
            answer = answer_list(served, AskedList(user_id=user, k=3), None)
            expected = offline.recommend(ids(user), k=3)
            assert answer.item_ids == expected["item_id"].to_list()
            assert answer.scores.tolist() == expected["score"].to_list()
            assert (answer.fallback, answer.reason) == (None, None)


def test_window_features_are_those_of_the_watermark_and_told(served):
    # user 1 clicked twice in the hour before the watermark and watched nothing in its 5 minutes;
    # the first click was an hour and a microsecond ago
    answer = answer_list(served, AskedList(user_id=1), None)
    assert answer.served == {"user_clicks_1h": 1.0, "user_watch_ms_5m": 0.0}
    nobody = answer_list(served, AskedList(), None)
    assert nobody.served == {"user_clicks_1h": 0.0, "user_watch_ms_5m": 0.0}


def test_a_given_history_stands_instead_of_the_own_one_and_both_are_masked(served):
    # 40 pulls (4, 3, 2, 0)
    asked = AskedList(user_id=2, history=given(40, 77))
    assert pairs(answer_list(served, asked, None)) == [(10, 4.0), (20, 3.0)]
    asked = AskedList(history=given(40))
    assert pairs(answer_list(served, asked, None)) == [(10, 4.0), (20, 3.0), (30, 2.0)]


def test_a_request_at_an_instant_sees_only_what_is_before_it(served):
    history = given(10, 40, ts=[START_US, START_US + HOUR_US])
    asked = AskedList(history=history, at_us=START_US + HOUR_US, repeats="allow")
    # 10 alone pulls (0, 5, 1, 2)
    assert answer_list(served, asked, None).scores.tolist() == [5.0, 2.0, 1.0, 0.0]


def test_a_request_for_an_instant_after_the_history_of_the_future(served):
    far = WATERMARK_US + 50 * HOUR_US
    embedded = {}

    def remember(rows, age_s, watched, window):
        embedded["age_s"] = age_s
        return served.tower(rows, age_s, watched, window)

    spied = dataclasses.replace(served, tower=remember)
    answer_list(spied, AskedList(history=given(10, 20, ts=[far - 5_000_000, far])), None)
    # just after the last event
    assert embedded["age_s"][0].tolist() == pytest.approx([0, 5.000001, 0.000001])


def test_what_the_store_saw_after_the_watermark_follows_the_releases_history(served):
    user = stored((40, 5), (999, 6), user_clicks_1h=4, user_watch_ms_5m=None)
    answer = answer_list(served, AskedList(user_id=2), user)
    # 30 and 40 pull (1, 1, 0, 9) + (4, 3, 2, 0)
    assert pairs(answer) == [(10, 5.0), (20, 4.0)]
    assert answer.served == {"user_clicks_1h": 4.0, "user_watch_ms_5m": 0.0}


def test_what_both_know_counts_once(served):
    user = stored((30, 0), (30, -HOUR_US))
    answer = answer_list(served, AskedList(user_id=2), user)
    assert pairs(answer) == [(40, 9.0), (10, 1.0), (20, 1.0)]


def test_a_user_whom_only_the_store_knows_has_a_history(served):
    answer = answer_list(served, AskedList(user_id=5), stored((30, 1)))
    assert pairs(answer) == [(40, 9.0), (10, 1.0), (20, 1.0)]


def test_watched_shares_are_made_with_the_lengths_of_the_release(served):
    served = dataclasses.replace(served, durations_ms=np.array([1000.0, np.nan, 0.0, 100.0]))
    watched = served.watched(ids(0, 0, 1, 2, 3), ids(500, NULL, 500, 500, 500))
    assert watched.tolist() == [0.5, -1.0, -1.0, -1.0, 2.0]


def test_the_tower_sees_how_long_the_stores_clicks_were_watched(served):
    seen = {}

    def remember(rows, age_s, watched, window):
        seen.update(rows=rows[0].tolist(), watched=watched[0].tolist(), age_s=age_s[0].tolist())
        return served.tower(rows, age_s, watched, window)

    durations = np.array([np.nan, np.nan, np.nan, 4000.0])
    spied = dataclasses.replace(served, tower=remember, durations_ms=durations)
    clicks = RecentClicks(ids(40, 10), ids(5, 6) + WATERMARK_US, ids(1000, 1000))
    answer_list(spied, AskedList(user_id=2), StoredUser({}, clicks, WATERMARK_US + 1_000_006))
    assert seen["rows"] == [2, 3, 0]  # of 30 by the release, then 40 and 10
    assert seen["watched"] == [-1.0, 0.25, -1.0]
    assert seen["age_s"] == pytest.approx([1.000006, 1.000001, 1.0])


def test_filters_leave_out_items_and_keep_to_categories(seal_toy):
    served = ServedRelease.load(seal_toy(tombstones=[3]).release)
    served = dataclasses.replace(served, categories={"a": ids(0, 2, 3), "b": ids(1, 2)})
    asked = AskedList(exclude_items=ids(30, 999))
    assert answer_list(served, asked, None).item_ids == [10, 20]
    asked = AskedList(categories=("a", "no such"))
    assert pairs(answer_list(served, asked, None)) == [(30, 2.0), (10, 0.5)]
    asked = AskedList(user_id=1, categories=("a", "b"), k=1)
    assert answer_list(served, asked, None).item_ids == [30]
    assert answer_list(served, AskedList(categories=()), None).item_ids == []


def test_a_tower_that_fails_gives_popularity_with_a_reason(served, caplog):
    def broken(*_):
        raise RuntimeError("no tower")

    broken_release = dataclasses.replace(served, tower=broken)
    answer = answer_list(broken_release, AskedList(user_id=1, k=5), None)
    assert pairs(answer) == [(30, 2.0), (40, 1.0)]  # 10 and 20 were seen
    assert (answer.fallback, answer.reason) == ("popularity", "tower: RuntimeError")
    assert "popularity does" in caplog.text


def test_popularity_keeps_to_the_filters(served):
    asked = AskedList(user_id=2, exclude_items=ids(40), repeats="allow")
    answer = popularity_list(served, asked, reason="the store is away")
    assert pairs(answer) == [(30, 2.0), (10, 0.5), (20, 0.25)]
    assert (answer.fallback, answer.reason, answer.served) == (
        "popularity",
        "the store is away",
        {},
    )


def test_scores_are_those_of_the_list_and_none_for_unknown_items(served):
    asked = AskedScores(item_ids=ids(40, 77, 10), user_id=1)
    assert answer_scores(served, asked, None) == [3.0, None, 0.0]
    assert answer_scores(served, AskedScores(item_ids=ids()), None) == []


def test_a_million_clicks_are_cut_to_the_towers_length(served):
    asked = AskedList(history=given(*[10] * 999_999, 40), repeats="allow")
    # the last three: 10, 10, 40 pull 2 * (0, 5, 1, 2) + (4, 3, 2, 0)
    answer = answer_list(served, asked, None)
    assert pairs(answer) == [(20, 13.0), (10, 4.0), (30, 4.0), (40, 4.0)]


TOGETHER = [
    AskedList(user_id=1, k=2),
    AskedList(user_id=2, k=3, repeats="allow"),
    AskedList(k=2),
    AskedList(user_id=1, history=given(40), k=2, exclude_items=ids(10)),
    AskedList(user_id=2, categories=("a",), k=2),
]


def test_what_is_asked_together_is_answered_as_if_asked_alone(served):
    users = [None, stored((10, 5)), None, None, stored()]
    answers = answer_lists(served, TOGETHER, users)
    for asked, user, answer in zip(TOGETHER, users, answers, strict=True):
        alone = answer_list(served, asked, user)
        assert answer.item_ids == alone.item_ids
        np.testing.assert_allclose(answer.scores, alone.scores, rtol=1e-6)
        assert (answer.served, answer.fallback) == (alone.served, None)


def test_of_those_asked_together_only_the_one_that_fails_falls_back(served):
    class FailsForTwoClicks:
        def __call__(self, rows, age_s, watched, window):
            if (np.count_nonzero(rows >= 0, axis=1) == 1).any():
                raise RuntimeError("no such memory")
            return served.tower(rows, age_s, watched, window)

    broken = dataclasses.replace(served, tower=FailsForTwoClicks())
    answers = answer_lists(broken, TOGETHER, [None] * len(TOGETHER))
    assert [answer.fallback for answer in answers] == [
        "popularity"
        if len(broken.known(broken.histories.row(asked.user_id)).clicks.ts) == 1
        or asked.history is not None
        else None
        for asked in TOGETHER
    ]
    assert answers[3].reason == "tower: RuntimeError"
