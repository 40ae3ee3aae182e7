"""The steps of the joiner over the lake end where the join of all rows does."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from recbench.events.join_lake import join_step
from recbench.events.joined import joined, latest
from recbench.events.shown import LabelWindows
from recbench.tables.lake import LakeTable

START = datetime(2026, 1, 1, tzinfo=UTC)
WINDOWS = LabelWindows(label=timedelta(seconds=10), correction=timedelta(seconds=20))
N_PARTITIONS, LATENESS_S, END_S = 3, 4, 10_000
INSTANT = pl.Datetime("us", "UTC")
SCHEMA = {
    "request_id": pl.Int64,
    "item_id": pl.Int64,
    "ts": INSTANT,
    "clicked": pl.Boolean,
    "watch_ms": pl.Int64,
    "position": pl.Int16,
    "kafka_partition": pl.Int32,
    "kafka_offset": pl.Int64,
    "watermark": INSTANT,
}
EXAMPLE = ["request_id", "item_id", "ts", "clicked", "watch_ms", "label_ts"]

# Messages of one request go to one partition, as they do where the user is the key.
messages = st.tuples(
    st.integers(0, 8),  # request
    st.integers(0, 90),  # second
    st.sampled_from(["shown", "shown and clicked", "click", "watch"]),
)
commits = st.lists(
    st.tuples(st.integers(0, N_PARTITIONS - 1), st.lists(messages, min_size=1, max_size=6)),
    min_size=1,
    max_size=6,
)


class Partitions:
    """Rows with the offsets and watermarks that an ingester would give them."""

    def __init__(self):
        self.offsets = [0] * N_PARTITIONS
        self.largest = [None] * N_PARTITIONS
        self.shown_at = {}  # a request shown again is shown at the same time: a message sent twice

    def rows(self, partition, listed):
        return pl.DataFrame([self._row(partition, one) for one in listed], SCHEMA, orient="row")

    def _row(self, partition, message):
        request, second, what = message
        request = request * N_PARTITIONS + partition
        if "shown" in what:
            second, what = self.shown_at.setdefault(request, (second, what))
        offset, largest = self.offsets[partition], self.largest[partition]
        self.offsets[partition] += 1
        self.largest[partition] = second if largest is None else max(largest, second)
        watermark = None if largest is None else at(largest - LATENESS_S)
        watched, position = second if what == "watch" else None, 1 if "shown" in what else None
        values = (request, 0, at(second), "click" in what, watched, position)
        return (*values, partition, offset, watermark)


def at(second):
    return START + timedelta(seconds=second)


@settings(deadline=None, max_examples=30)
@given(listed=commits, stepped=st.lists(st.booleans(), min_size=6, max_size=6))
def test_whatever_partition_lags_every_example_is_told_and_no_revision_twice(listed, stepped):
    partitions = Partitions()
    with tempfile.TemporaryDirectory() as folder:
        events, examples = (
            LakeTable(Path(folder, "events"), by_day=True),
            LakeTable(Path(folder, "examples")),
        )
        for (partition, some), is_step in zip(listed, stepped, strict=False):
            events.append(partitions.rows(partition, some))
            if is_step:
                join_step([events], examples, WINDOWS, max_rows=4)
        for partition in range(N_PARTITIONS):
            last = [(1_000 + n, END_S, "click") for n in range(2)]
            events.append(partitions.rows(partition, last))
        while not join_step([events], examples, WINDOWS, max_rows=9).is_last:
            pass
        told, rows = examples.read().collect(), events.read().collect()
    expected = joined(rows, WINDOWS).select(EXAMPLE).sort("request_id")
    assert latest(told).select(EXAMPLE).sort("request_id").equals(expected)
    assert told.select("request_id", "revision").is_unique().all()
