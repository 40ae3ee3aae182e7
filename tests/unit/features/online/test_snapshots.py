"""Snapshots: whole, of the same features, or refused."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file

from recbench import columns as c
from recbench.errors import InputError
from recbench.features.definitions import DecayedPopularity, WindowFeature
from recbench.features.online import OnlineState
from recbench.features.shipped import SHIPPED_FEATURES

START = datetime(2026, 1, 1, tzinfo=UTC)
START_US = int(START.timestamp()) * 1_000_000
HOT = DecayedPopularity(name="hot", half_life=timedelta(seconds=9))


@pytest.fixture
def state(tiny_events):
    state = OnlineState([*SHIPPED_FEATURES, HOT], max_events_per_entity=60)
    half = len(tiny_events) // 2
    middle = int(tiny_events[c.TS].dt.epoch("us")[half])
    state.update(tiny_events[:half], positions={"0": half}, watermark_us=middle)
    state.update(tiny_events[half:], positions={"0": 2 * half})
    return state


def answers(state, events):
    asked = {
        c.USER_ID: events[c.USER_ID],
        c.ITEM_ID: events[c.ITEM_ID],
        c.CATEGORY: events[c.CATEGORY],
    }
    at_us = int(events[c.TS].dt.epoch("us").max()) + 1
    return [
        state.lookup_many(entity, ids.unique().sort(), at_us=at_us) for entity, ids in asked.items()
    ]


def test_a_restored_state_is_the_state(state, tiny_events, tmp_path):
    path = tmp_path / "deep" / "state"
    state.snapshot(path)
    restored = OnlineState.restore(path, state.features, max_events_per_entity=60)
    for ours, theirs in zip(
        answers(restored, tiny_events), answers(state, tiny_events), strict=True
    ):
        assert ours.equals(theirs)
    for name in ("positions", "watermark_us", "n_rows", "n_late", "n_truncated", "n_dropped"):
        assert getattr(restored, name) == getattr(state, name)
    assert state.n_truncated > 0
    restored.snapshot(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_units_may_differ_but_nothing_else(state, tmp_path):
    path = tmp_path / "state"
    state.snapshot(path)
    in_presses = DecayedPopularity(name="hot", half_life=HOT.half_life, unit="presses")
    OnlineState.restore(path, [in_presses, *SHIPPED_FEATURES])
    hotter = DecayedPopularity(name="hot", half_life=timedelta(seconds=8))
    with pytest.raises(
        InputError, match="'half_life': 8.0.* but was .*'half_life': 9.0.*: .'hot'."
    ):
        OnlineState.restore(path, [hotter, *SHIPPED_FEATURES])
    with pytest.raises(InputError, match="'hot' is None but was .*Differing: .'hot'."):
        OnlineState.restore(path, SHIPPED_FEATURES)


def test_files_that_are_no_whole_snapshot_are_refused(state, tmp_path):
    path = tmp_path / "state"
    state.snapshot(path)
    with pytest.raises(InputError, match="other is no whole snapshot of an online state"):
        OnlineState.restore(tmp_path / "other", state.features)
    content = path.read_bytes()
    for length in (0, 5, 200, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match="state is no whole snapshot of an online state"):
            OnlineState.restore(path, state.features)
    path.write_text("a,b\n1,2\n" * 100)
    with pytest.raises(InputError, match="state is no whole snapshot of an online state"):
        OnlineState.restore(path, state.features)


def test_snapshots_of_another_format_are_refused(state, tmp_path):
    foreign, newer = tmp_path / "foreign", tmp_path / "newer"
    save_file({"a": np.zeros(3)}, foreign)
    with pytest.raises(InputError, match="foreign .* format 1; its header says None"):
        OnlineState.restore(foreign, state.features)
    header = {"recbench_online_state": json.dumps({"format": 2})}
    save_file({"a": np.zeros(3)}, newer, metadata=header)
    with pytest.raises(InputError, match="newer .* format 1; its header says 2"):
        OnlineState.restore(newer, state.features)


def test_an_empty_state_can_be_kept(tmp_path):
    count = WindowFeature(
        name="n", entity="category", aggregation="count", value=None, window=timedelta(seconds=1)
    )
    OnlineState([count]).snapshot(tmp_path / "state")
    restored = OnlineState.restore(tmp_path / "state", [count])
    assert restored.lookup(c.CATEGORY, "A", at_us=0) == {"n": 0}
    assert restored.watermark_us is None
    events = pl.DataFrame({c.CATEGORY: ["A"], c.TS: [START]}, schema_overrides={c.TS: c.INSTANT})
    restored.update(events)
    assert restored.lookup(c.CATEGORY, "A", at_us=START_US + 1) == {"n": 1}
