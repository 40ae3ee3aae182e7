"""A candidate beside its parent: who judges, what is found, what is carried on."""

import copy
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from recbench import columns as c
from recbench.features.shipped import DEFAULT_WINDOW_FEATURES
from recbench.jobs.build import fit_two_tower
from recbench.jobs.learned import learned_state
from recbench.models.frozen import TwoTowerRecommender
from recbench.refresh.advance import UpdatePlan, advance
from recbench.refresh.examine import examine, total_drift, window_values
from recbench.refresh.facts import window_facts
from recbench.refresh.held_back import is_held_back
from recbench.refresh.judge import Judge, drift_between
from recbench.tables.split import microseconds

JUDGE = Judge("masked", DEFAULT_WINDOW_FEATURES, 8, k=5)


@pytest.fixture(scope="module")
def refreshed(tiny_data, tiny_arguments):
    """The last tenth of the log, and a refresh by it without a step."""
    events = tiny_data.events
    at = events[c.TS][len(events) * 9 // 10]
    data = replace(tiny_data, events=events.filter(pl.col(c.TS) < at))
    cut = replace(tiny_arguments["cut"], at=microseconds(at))
    experiment = tiny_arguments["experiment"]
    fitted = fit_two_tower(data, data.events, cut, experiment=experiment, steps=20)
    state = learned_state(fitted, data, experiment=experiment)
    window = events.filter(pl.col(c.TS) >= at)
    to = microseconds(window[c.TS][-1]) + 1
    plan = UpdatePlan(
        protocol="masked", window_features=DEFAULT_WINDOW_FEATURES, history_length=8, steps=0
    )

    def past(users):
        return data.events.filter(pl.col(c.USER_ID).is_in(users.unique().implode()))

    done = advance(state, window, to=to, items=data.items, past=past, plan=plan)
    return done, window, past


def measured(refreshed, done=None):
    own, window, past = refreshed
    done = done or own
    facts = window_facts(window, start=done.before.at, end=done.state.at, items=done.before.items)
    nothing = np.empty(0, dtype=np.int64)
    return examine(done, window, past=past, judge=JUDGE, facts=facts, hidden=lambda _: nothing)


def spoiled(state):
    """The state with every item's row exchanged for another one's."""
    towers = copy.deepcopy(state.towers)
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(state.items)))
    with torch.no_grad():
        for rows in (towers.items.item.weight, towers.items.category_rows):
            rows[:] = rows[order].clone()
    return replace(state, towers=towers)


def test_towers_that_did_not_learn_are_no_better_and_no_worse(refreshed):
    found = measured(refreshed)
    assert found.held_back.difference == found.older.difference == found.trained.difference == 0
    assert found.drift == pytest.approx(0, abs=1e-6)
    assert found.calibration == pytest.approx(1.0)
    assert not found.broken


def test_only_users_who_were_held_back_judge(refreshed):
    _, window, _ = refreshed
    held = is_held_back(window[c.USER_ID].to_numpy(), number=0)
    found, users = measured(refreshed), window[c.USER_ID]
    assert 0 < found.held_back.n_users <= users.filter(held).n_unique()
    assert 0 < found.trained.n_users <= users.filter(~held).n_unique()


def test_a_spoiled_candidate_is_worse(refreshed):
    done = refreshed[0]
    found = measured(refreshed, replace(done, state=spoiled(done.state)))
    assert found.trained.difference < 0
    assert found.drift > 0.001


def test_popularity_that_has_lost_clicks_is_broken(refreshed):
    done = refreshed[0]
    popularity = done.state.popularity
    values = popularity.values.copy()
    values[:3] *= 0.5
    lost = replace(done.state, popularity=replace(popularity, values=values))
    found = measured(refreshed, replace(done, state=lost))
    assert found.broken == ("the popularity of 3 items has lost clicks",)


def test_the_windows_users_judge_every_state_alike(refreshed):
    done, window, past = refreshed
    nothing = np.empty(0, dtype=np.int64)
    own, again, bad = window_values(
        [done.before, done.before, spoiled(done.before)],
        events=window,
        past=past,
        judge=JUDGE,
        hidden=lambda _: nothing,
    )
    assert 0 < len(own) == len(bad) <= window[c.USER_ID].n_unique()
    np.testing.assert_array_equal(own, again)
    assert bad.mean() < own.mean()


def test_total_drift_is_that_of_the_vectors(refreshed, tiny_data):
    done = refreshed[0]
    asked = {"items": tiny_data.items, "judge": JUDGE}
    assert total_drift(done.before, done.state, **asked) == pytest.approx(0, abs=1e-6)
    assert total_drift(done.before, spoiled(done.state), **asked) > 0.001


def turned(model, matrix):
    taste = model.candidate_embeddings[:, :-2] @ matrix
    embeddings = np.concatenate([taste, model.candidate_embeddings[:, -2:]], axis=1)
    return replace(model, candidate_embeddings=embeddings.astype(np.float32))


def test_a_common_rotation_is_no_drift(tiny_fit):
    model: TwoTowerRecommender = tiny_fit.model
    rotation, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((8, 8)))
    assert drift_between(model, turned(model, rotation)) == pytest.approx(0, abs=1e-5)
    flattened = np.diag([1.0] * 4 + [0.0] * 4)
    assert drift_between(model, turned(model, flattened)) > 0.01
