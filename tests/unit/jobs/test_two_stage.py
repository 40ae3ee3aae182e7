"""Both stages on a tiny log: nothing after a cut is used, and the ranker is put to work."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from recbench.errors import InputError
from recbench.evaluation.exam import Exam
from recbench.evaluation.recommender import recommend
from recbench.jobs.build import microseconds
from recbench.jobs.two_stage import first_stage, fit_two_stage, pseudo_lists
from recbench.settings import RankingSettings
from recbench.tables.log import catalogue

SETTINGS = RankingSettings(n_cuts=2, n_each=5, hidden_dim=8, epochs=1)
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
    at = microseconds(data.watermark) + 1
    cut = at - HORIZON_US
    ts = pl.col("ts").dt.epoch("us")
    past, after = data.events.filter(ts < cut), data.events.filter(ts >= cut)
    exam = Exam.of(protocol=data.protocol, past=past, test=after, at=cut, items=catalogue(data))
    exam = exam.known_only()
    found = first_stage(data, past, at=cut, settings=SETTINGS).lists(exam)
    assert np.array_equal(found.features, lists_of(data, data.events, at=at)[0].features)


def test_relevant_is_what_was_clicked_after_the_cut(tiny_data):
    at = microseconds(tiny_data.watermark) + 1
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
    at = microseconds(data.watermark) + 1
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
