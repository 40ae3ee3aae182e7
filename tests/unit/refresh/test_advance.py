"""One refresh in memory: what is learned, what stays, and from whom."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from recbench import columns as c
from recbench.errors import InputError
from recbench.features.running_popularity import RunningPopularity
from recbench.features.shipped import DEFAULT_WINDOW_FEATURES
from recbench.jobs.build import fit_two_tower
from recbench.jobs.learned import learned_state
from recbench.refresh.advance import UpdatePlan, advance, past_exemplars
from recbench.refresh.held_back import is_held_back
from recbench.tables.queries import InteractionLog
from recbench.tables.split import microseconds
from recbench.training.batches import Batches
from recbench.training.policy_gradient import Reinforce

PLAN = UpdatePlan(
    protocol="masked",
    window_features=DEFAULT_WINDOW_FEATURES,
    history_length=8,
    steps=3,
    batch_size=16,
    n_uniform=20,
)
NEW_ITEM = 9_000


def epoch(events):
    return events[c.TS].dt.epoch("us").to_numpy()


@pytest.fixture(scope="module")
def parts(tiny_data, tiny_arguments):
    """Nine tenths of the log, the next twentieth, the last twentieth, and the state after nine."""
    events = tiny_data.events
    n = len(events)
    cuts = [events[c.TS][n * 18 // 20], events[c.TS][n * 19 // 20]]
    first, second, third = (
        events.filter(pl.col(c.TS) < cuts[0]),
        events.filter(pl.col(c.TS).is_between(cuts[0], cuts[1], closed="left")),
        events.filter(pl.col(c.TS) >= cuts[1]),
    )
    data = replace(tiny_data, events=first)
    cut = replace(tiny_arguments["cut"], at=microseconds(cuts[0]))
    experiment = tiny_arguments["experiment"]
    fitted = fit_two_tower(data, first, cut, experiment=experiment, steps=5)
    state = learned_state(fitted, data, experiment=experiment)
    return state, first, second, third, microseconds(cuts[1])


def run(parts, events=None, **changed):
    state, first, second, _, to = parts
    plan = replace(PLAN, **changed)
    events = second if events is None else events
    return advance(
        state,
        events,
        to=to,
        items=pl.DataFrame({c.ITEM_ID: [NEW_ITEM], c.CATEGORY: ["comedy"], c.TITLE: ["Film"]}),
        past=lambda users: first.filter(pl.col(c.USER_ID).is_in(users.implode())),
        plan=plan,
    )


def test_popularity_is_that_of_all_events(parts):
    state, first, second, _, to = parts
    after = run(parts).state
    log = InteractionLog.from_events(pl.concat([first, second]), items=state.items)
    whole = RunningPopularity.of(log, at=to, half_lives_s=state.popularity.half_lives_s)
    np.testing.assert_allclose(after.popularity.values, whole.values, rtol=1e-12)
    assert after.at == to
    assert after.number == state.number + 1


def test_an_item_ages_out_and_comes_back_with_a_click(parts):
    _, first, second, _, to = parts
    after = run(parts, steps=0).state
    clicked = pl.concat([first, second]).filter(pl.col(c.CLICKED))
    last = dict(clicked.group_by(c.ITEM_ID).agg(pl.col(c.TS).dt.epoch("us").max()).rows())
    np.testing.assert_array_equal(after.last_ts, [last[item] for item in after.items.ids.tolist()])
    oldest = int(np.argmin(after.last_ts))
    idle_us = to - int(after.last_ts[oldest]) - 1
    assert oldest in after.tombstones(idle_us=idle_us)
    assert oldest not in after.tombstones(idle_us=idle_us + 1)
    asked_for = second.with_columns(
        pl.when(pl.int_range(pl.len()) == len(second) - 1)
        .then(pl.lit(int(after.items.ids[oldest])))
        .otherwise(pl.col(c.ITEM_ID))
        .alias(c.ITEM_ID),
        pl.lit(True).alias(c.CLICKED),
    )
    assert oldest not in run(parts, asked_for, steps=0).state.tombstones(idle_us=idle_us)


def test_new_items_have_rows_after_the_old_ones(parts):
    state, _, second, _, _ = parts
    new = second.with_columns(
        pl.when(pl.int_range(pl.len()) == 5)
        .then(NEW_ITEM)
        .otherwise(c.ITEM_ID)
        .cast(pl.Int64)
        .alias(c.ITEM_ID)
    )
    done = run(parts, new)
    assert done.n_new_items == 1
    assert done.state.items.ids.tolist() == [*state.items.ids, NEW_ITEM]
    assert len(done.state.popularity.values) == len(state.items) + 1
    assert all(len(kept.values) == len(state.items) + 1 for kept in done.state.kept)


def trained_on(parts, monkeypatch, **changed):
    """The users of the examples, and the instants that they are asked as of."""
    found = []
    make = Batches.from_step

    def noted(self, step):
        found.append(self.examples)
        return make(self, step)

    monkeypatch.setattr(Batches, "from_step", noted)
    done = run(parts, **changed)
    examples = found[0]
    return done, examples.user_ids, examples.cuts[examples.cut_of]


def test_users_who_are_held_back_are_not_trained_on(parts, monkeypatch):
    state, _, second, _, _ = parts
    _, users, at = trained_on(parts, monkeypatch)
    fresh = np.unique(users[at >= state.at])
    assert len(fresh)
    assert not is_held_back(fresh, number=state.number).any()
    assert is_held_back(second[c.USER_ID].to_numpy(), number=state.number).any()
    _, everybody, at = trained_on(parts, monkeypatch, hold_back=False)
    assert set(fresh) < set(everybody[at >= state.at])


def test_who_was_held_back_is_trained_on_one_refresh_later(parts, monkeypatch):
    state, first, second, third, _ = parts
    after = run(parts).state
    end = int(epoch(third).max()) + 1
    past = pl.concat([first, second])
    arguments = (after, past, third, None, end)
    _, users, at = trained_on(arguments, monkeypatch, n_replay=0, n_cuts=1)
    new = second.join(first, on=[c.USER_ID, c.ITEM_ID], how="anti")  # an item is taken once
    owed = np.unique(new[c.USER_ID].to_numpy())
    owed = owed[is_held_back(owed, number=state.number)]
    assert len(owed)
    assert set(owed) <= set(users[at == state.at])


def test_fresh_clicks_are_targets_as_of_earlier_windows_too(parts, monkeypatch):
    state, _, _, _, _ = parts
    done, users, at = trained_on(parts, monkeypatch, n_replay=0)
    earlier = at < state.at
    assert set(at[earlier]) == {kept.at for kept in state.kept}
    assert not is_held_back(users, number=state.number).any()
    np.testing.assert_array_equal(done.trained.user_ids, users[earlier])
    np.testing.assert_array_equal(done.trained.at, at[earlier])


def test_nothing_of_the_window_is_seen_before_its_instant(parts, monkeypatch):
    """Histories end before their requests, targets do not start before them."""
    _state, _, _, _, to = parts
    found = []
    make = Batches.from_step
    monkeypatch.setattr(Batches, "from_step", lambda s, n: found.append(s.examples) or make(s, n))
    run(parts)
    examples = found[0]
    at = examples.cuts[examples.cut_of]
    assert (examples.log.ts[examples.ends - 1] < at).all()
    assert (examples.log.ts[examples.target_starts] >= at).all()
    assert (examples.log.ts[examples.target_ends - 1] < to).all()


def test_without_steps_only_popularity_and_catalogue_move(parts):
    state = parts[0]
    done = run(parts, steps=0)
    assert not done.update.losses
    for name, value in done.state.towers.state_dict().items():
        assert (value == state.towers.state_dict()[name]).all()


def test_one_refresh_after_another_is_what_it_says(parts):
    """The same twice from one state: nothing is left in it."""
    first, second = run(parts), run(parts)
    for name, value in first.state.towers.state_dict().items():
        assert (value == second.state.towers.state_dict()[name]).all()
    assert first.update.losses == second.update.losses


def test_a_window_in_which_nobody_comes_back_gives_no_steps(parts):
    state, _, second, _, _ = parts
    strangers = second.with_columns(pl.int_range(pl.len()).cast(pl.Int64).alias(c.USER_ID))
    done = run(parts, strangers, n_replay=0)
    assert done.n_examples == 0
    assert not done.update.losses
    assert done.state.at > state.at


def test_the_pool_keeps_the_last_windows_only(parts):
    state = parts[0]
    after = run(parts, n_kept=2).state
    assert [kept.at for kept in after.kept] == [state.kept[-1].at, state.at]
    assert set(after.pool.at) <= {kept.at for kept in after.kept}


def test_exemplars_are_whoever_clicked_with_their_first_item(tiny_events):
    log = InteractionLog.from_events(tiny_events)
    cuts = np.quantile(log.ts, [0.5, 0.75]).astype(np.int64).tolist()
    found = past_exemplars(log, cuts, end=int(log.ts.max()) + 1)
    for user, at, item in list(zip(*found, strict=True))[::7]:
        stop = {cuts[0]: cuts[1], cuts[1]: int(log.ts.max()) + 1}[at]
        own = tiny_events.filter(pl.col(c.USER_ID) == user)
        inside = own.filter(pl.Series((epoch(own) >= at) & (epoch(own) < stop)))
        assert inside[c.ITEM_ID][0] == item


def test_of_many_users_some_are_learned_from_and_all_are_counted(parts):
    asked = []

    def past(users):
        asked.append(users)
        return parts[1].filter(pl.col(c.USER_ID).is_in(users.implode()))

    few, all_ = (
        advance(
            parts[0],
            parts[2],
            to=parts[4],
            items=pl.DataFrame({c.ITEM_ID: [], c.CATEGORY: []}, schema_overrides={c.ITEM_ID: int}),
            past=past,
            plan=replace(PLAN, n_users=n, n_replay=0),
        )
        for n in (5, 10_000)
    )
    assert few.n_examples < all_.n_examples
    assert len(asked[0]) < len(asked[1])
    np.testing.assert_array_equal(few.state.popularity.values, all_.state.popularity.values)
    np.testing.assert_array_equal(few.state.pool.user_ids, all_.state.pool.user_ids)


def test_policy_gradient_moves_the_query_tower_alone_and_wants_propensities(parts):
    with pytest.raises(InputError, match="clicks of this window has a propensity"):
        run(parts, objective=Reinforce())
    second = parts[2].with_columns(pl.lit(0.05).alias(c.PROPENSITY))
    done = run(parts, second, objective=Reinforce(slate=5))
    assert len(done.update.losses) == PLAN.steps
    before, after = (dict(t.named_parameters()) for t in (done.before.towers, done.state.towers))
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    assert moved
    assert all(name.startswith("queries.") for name in moved)
