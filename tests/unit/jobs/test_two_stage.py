"""Both stages on a tiny log: nothing after a cut is used, and the ranker is put to work."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from recbench.errors import InputError
from recbench.evaluation.exam import Exam
from recbench.evaluation.recommender import recommend
from recbench.jobs.two_stage import first_stage, fit_two_stage, pseudo_lists
from recbench.settings import RankingSettings
from recbench.tables.log import catalogue
from recbench.tables.split import microseconds

SETTINGS = RankingSettings(n_cuts=2, least_horizon_frac=1.0, n_each=5, hidden_dim=8, epochs=1)
HORIZON_US = 5 * 86_400_000_000


@pytest.fixture(scope="module", params=["masked", "next_basket", "next_in_session"])
def data(request, tiny_data):
    return replace(tiny_data, protocol=request.param)


def lists_of(data, events, *, at):
    return pseudo_lists(data, events, at=at, horizon_us=HORIZON_US, settings=SETTINGS)


def test_lists_do_not_change_with_what_comes_at_the_cut_or_later(data):
    at = microseconds(data.events["ts"][2000])
    past = data.events.filter(pl.col("ts").dt.epoch("us") < at)
    known, all_of_it = (lists_of(data, events, at=at) for events in (past, data.events))
    assert len(known) == 2
    for one, other in zip(known, all_of_it, strict=True):
        assert np.array_equal(one.features, other.features)
        assert np.array_equal(one.relevant, other.relevant)


def test_features_of_a_cut_do_not_see_its_targets(data):
    at = data.watermark_us + 1
    cut = at - HORIZON_US
    ts = pl.col("ts").dt.epoch("us")
    past, after = data.events.filter(ts < cut), data.events.filter(ts >= cut)
    exam = Exam.of(protocol=data.protocol, past=past, test=after, at=cut, items=catalogue(data))
    exam = exam.known_only()
    found = first_stage(data, past, at=cut, settings=SETTINGS).lists(exam)
    assert np.array_equal(found.features, lists_of(data, data.events, at=at)[0].features)


def test_the_latest_cuts_are_given_what_is_left_of_the_horizon(tiny_data):
    at = tiny_data.watermark_us + 1
    settings = replace(SETTINGS, spacing_frac=0.25, least_horizon_frac=0.5)
    lists = pseudo_lists(
        tiny_data, tiny_data.events, at=at, horizon_us=HORIZON_US, settings=settings
    )
    assert len(lists) == 2 + 2
    ts, half_us = pl.col("ts").dt.epoch("us"), HORIZON_US // 2
    past, left = (tiny_data.events.filter(part) for part in (ts < at - half_us, ts >= at - half_us))
    exam = Exam.of(
        protocol="masked", past=past, test=left, at=at - half_us, items=catalogue(tiny_data)
    ).known_only()
    expected = first_stage(tiny_data, past, at=at - half_us, settings=settings).lists(exam)
    assert np.array_equal(lists[0].features, expected.features)
    assert np.array_equal(lists[0].relevant, expected.relevant)


def test_a_session_log_has_no_latest_cuts_as_each_event_is_one_request(tiny_data):
    sessions = replace(tiny_data, protocol="next_in_session")
    at = tiny_data.watermark_us + 1
    late = replace(SETTINGS, least_horizon_frac=0.125)
    assert len(lists_of(sessions, sessions.events, at=at)) == len(
        pseudo_lists(sessions, sessions.events, at=at, horizon_us=HORIZON_US, settings=late)
    )


def test_relevant_is_what_was_clicked_after_the_cut(tiny_data):
    at = tiny_data.watermark_us + 1
    ts = pl.col("ts").dt.epoch("us")
    past, after = (
        tiny_data.events.filter(part) for part in (ts < at - HORIZON_US, ts >= at - HORIZON_US)
    )
    exam = Exam.of(
        protocol="masked", past=past, test=after, at=at - HORIZON_US, items=catalogue(tiny_data)
    ).known_only()
    stage = first_stage(tiny_data, past, at=at - HORIZON_US, settings=SETTINGS)
    candidates = stage.retrievers.candidates(exam.queries)
    relevant = stage.lists(exam).relevant
    clicked = set(after.select("user_id", "item_id").iter_rows())
    for row, user in enumerate(exam.queries.user_ids):
        held = candidates.held[row]
        ids = catalogue(tiny_data).ids[candidates.rows[row][held]]
        assert relevant[row][held].tolist() == [(int(user), int(i)) in clicked for i in ids]


def test_lists_are_full_and_candidates_come_first(data):
    at = data.watermark_us + 1
    model = fit_two_stage(data, data.events, at=at, horizon_us=HORIZON_US, settings=SETTINGS)
    log = model.retrievers
    from recbench.tables.queries import InteractionLog

    queries = InteractionLog.from_events(data.events, items=log.items).queries(
        data.events["user_id"].unique().sort(), at
    )
    candidates = log.candidates(queries)
    listed = recommend(model, queries, k=10, repeats=True)
    for row, (user, items) in enumerate(
        listed.group_by("user_id", maintain_order=True).agg("item_id").iter_rows()
    ):
        assert user == queries.user_ids[row]
        own = log.items.ids[candidates.rows[row][candidates.held[row]]]
        first = min(10, len(own))
        assert len(items) == 10
        assert set(items[:first]) <= set(own.tolist())


def test_a_log_too_short_for_a_cut_is_refused(tiny_data):
    at = microseconds(tiny_data.events["ts"][200])
    events = tiny_data.events[:200]
    with pytest.raises(InputError, match=r"200 events hold no cut with 120\.0 hours"):
        lists_of(tiny_data, events, at=at)


def test_newcomers_are_items_of_the_year_that_were_first_clicked_lately(tiny_data):
    ids = catalogue(tiny_data).ids
    at = tiny_data.watermark_us + 1
    year = tiny_data.watermark.year
    titles = pl.DataFrame({"item_id": ids, "title": [f"Item ({year - i % 2})" for i in ids]})
    dated = replace(tiny_data, items=titles)
    stage = first_stage(dated, dated.events, at=at, settings=SETTINGS)
    assert "newcomers" in stage.retrievers.models
    assert "newcomers" not in stage.retrievers.told
    brought = ids[stage.retrievers.models["newcomers"].popularity > 0]
    clicks = dated.events.filter("clicked")
    first = clicks.group_by("item_id").agg(pl.col("ts").min().dt.epoch("us"))
    lately = first.filter(pl.col("ts") >= at - 21 * 86_400_000_000)["item_id"]
    assert set(brought.tolist()) == {i for i in lately if i % 2 == 0}


def test_a_catalogue_without_years_has_no_newcomers(tiny_data):
    at = tiny_data.watermark_us + 1
    undated = replace(tiny_data, items=pl.DataFrame({"item_id": catalogue(tiny_data).ids}))
    stage = first_stage(undated, undated.events, at=at, settings=SETTINGS)
    assert "newcomers" not in stage.retrievers.models
