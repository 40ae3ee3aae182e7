"""The join as rows arrive ends where the join of all rows does."""

import itertools
from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from recbench.events.joined import joined, latest
from recbench.events.joiner import Joiner
from recbench.events.shown import LabelWindows

START = datetime(2026, 1, 1, tzinfo=UTC)
WINDOWS = LabelWindows(label=timedelta(seconds=10), correction=timedelta(seconds=20))
FAR = START + timedelta(days=1)
LATENESS_S = 4
EXAMPLE = ["request_id", "item_id", "ts", "clicked", "watch_ms", "label_ts"]

rows = st.lists(
    st.tuples(
        st.integers(1, 4),  # request
        st.integers(1, 2),  # item
        st.integers(0, 90),  # second
        st.sampled_from(["shown", "shown and clicked", "click", "watch", "neither"]),
    ),
    max_size=30,
)


def frame(listed):
    """Rows in order of arrival, each with the watermark before it."""
    seen, watermarks = None, []
    for *_, second, _ in listed:
        watermarks.append(None if seen is None else at(seen - LATENESS_S))
        seen = second if seen is None else max(seen, second)
    return pl.DataFrame(
        {
            "request_id": [request for request, *_ in listed],
            "item_id": [item for _, item, *_ in listed],
            "ts": [at(second) for *_, second, _ in listed],
            "clicked": ["click" in kind for *_, kind in listed],
            "watch_ms": [second if kind == "watch" else None for *_, second, kind in listed],
            "position": [1 if "shown" in kind else None for *_, kind in listed],
            "watermark": watermarks,
        },
        schema={
            "request_id": pl.Int64,
            "item_id": pl.Int64,
            "ts": pl.Datetime("us", "UTC"),
            "clicked": pl.Boolean,
            "watch_ms": pl.Int64,
            "position": pl.Int16,
            "watermark": pl.Datetime("us", "UTC"),
        },
    )


def at(second):
    return START + timedelta(seconds=second)


def only_first_exposures(listed):
    """A request shows an item once; a second exposure is the same message again."""
    first = {}
    for request, item, second, kind in listed:
        if "shown" in kind:
            second, kind = first.setdefault((request, item), (second, kind))
        yield request, item, second, kind


def watermark_after(rows):
    largest = rows["ts"].max()
    return None if largest is None else largest - timedelta(seconds=LATENESS_S)


@settings(deadline=None)
@given(listed=rows, cuts=st.lists(st.integers(0, 30), max_size=5), restart=st.booleans())
def test_joined_as_it_streams_is_joined_at_once(listed, cuts, restart):
    whole = frame(list(only_first_exposures(listed)))
    joiner, told = Joiner(WINDOWS), []
    edges = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    for start, end in itertools.pairwise(edges):
        if restart and told:
            joiner = Joiner(WINDOWS)
            joiner.restore(whole[:start], pl.concat(told))
        watermark = watermark_after(whole[:end])
        examples = joiner.feed(whole[start:end], watermark=watermark)
        told.append(examples)
        pending = examples.filter(~pl.col("clicked"))
        assert watermark is None or (pending["ts"] + WINDOWS.label < watermark).all()
    told.append(joiner.feed(whole[:0], watermark=FAR))
    every = pl.concat(told)
    expected = joined(whole, WINDOWS).select(EXAMPLE).sort("request_id", "item_id")
    assert latest(every).select(EXAMPLE).sort("request_id", "item_id").equals(expected)
    _assert_revisions_tell_something(every)


def _assert_revisions_tell_something(every):
    for _, revisions in every.group_by("request_id", "item_id", maintain_order=True):
        assert revisions["revision"].to_list() == list(range(len(revisions)))
        labels = revisions.select("clicked", "watch_ms", "label_ts").rows()
        assert all(one != other for one, other in itertools.pairwise(labels))


@settings(deadline=None)
@given(listed=rows)
def test_joined_matches_a_naive_loop(listed):
    whole = frame(list(only_first_exposures(listed)))
    expected = {}
    for row in whole.iter_rows(named=True):
        key = (row["request_id"], row["item_id"])
        if row["position"] is not None and key not in expected and _in_time(row, row):
            expected[key] = _label(row, whole)
    found = {
        (row["request_id"], row["item_id"]): (row["clicked"], row["watch_ms"], row["label_ts"])
        for row in joined(whole, WINDOWS).iter_rows(named=True)
    }
    assert found == expected


def _label(exposure, whole):
    clicks, watched = [], []
    for row in whole.iter_rows(named=True):
        same = all(row[name] == exposure[name] for name in ("request_id", "item_id"))
        within = exposure["ts"] <= row["ts"] <= exposure["ts"] + WINDOWS.label
        if same and within and _in_time(row, exposure):
            clicks += [row["ts"]] if row["clicked"] else []
            watched += [row["watch_ms"]] if row["watch_ms"] is not None else []
    label_ts = min(clicks, default=exposure["ts"] + WINDOWS.label)
    return bool(clicks), sum(watched) if watched else None, label_ts


def _in_time(row, exposure):
    end = exposure["ts"] + WINDOWS.label + WINDOWS.correction
    return row["watermark"] is None or row["watermark"] <= end
