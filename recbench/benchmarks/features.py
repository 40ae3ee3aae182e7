"""The shipped windows beside DuckDB's RANGE windows and beside one sort of the same rows."""

import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.benchmarks.generated import generated_events
from recbench.benchmarks.online import measure
from recbench.benchmarks.result import BenchResult, medians
from recbench.errors import InputError, JobError
from recbench.features.batch import collect, window_features
from recbench.features.definitions import WindowFeature
from recbench.features.shipped import SHIPPED_FEATURES

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["WINDOWS", "run"]

Numbers = npt.NDArray[np.int64] | npt.NDArray[np.float64]

ONLINE_EVENTS = 1_000_000
DUCKDB_RUNS = 2  # takes several times as long as all the rest
ROW, MICROSECONDS = "row", "microseconds"


WINDOWS = tuple(feature for feature in SHIPPED_FEATURES if isinstance(feature, WindowFeature))

# 1 for a click that shares no category with the user's click before, as `features.derived` says
JUMPS = f"""
    SELECT *, CASE WHEN {c.CLICKED} THEN coalesce(NOT list_has_any(
        string_split({c.CATEGORY}, '|'),
        string_split(lag({c.CATEGORY}) OVER (
            PARTITION BY {c.USER_ID}, {c.CLICKED} ORDER BY {{order}}, {ROW}), '|')), false)::BIGINT
    END AS category_jump FROM events"""


def run(*, runs: int = 3, events: int = 5_000_000, seed: int = 0) -> BenchResult:
    """Time ``WINDOWS`` over generated events, and both references, in turns.

    ``vs_duckdb`` is against the windows written on timestamps, as the log has them;
    ``vs_duckdb_integers`` against DuckDB's faster form, on integer microseconds. Both read a
    DuckDB table that is already there, with as many threads as Polars. Ratios are of medians. The
    online state is measured once, over at most a million events: see ``online.measure``.

    Args:
        runs: how often; DuckDB is timed in the first two only.
        events: how many rows; a user has 50 on average, an item 250, within five days.
        seed: of the generated events.

    Raises:
        InputError: ``runs`` or ``events`` below 1, or duckdb is not installed.
        JobError: DuckDB gives another number for any row and window.
    """
    if min(runs, events) < 1:
        raise InputError(f"`runs` and `events` must be at least 1, got {runs} and {events}")
    frame = generated_events(events, seed=seed)
    measured = []
    with tempfile.TemporaryDirectory() as folder:
        reference = _duckdb(frame, Path(folder))
        # one untimed pass of everything: the same numbers first, and warm memory for all
        _compare(reference, _windows(frame))
        frame.sort(c.USER_ID, c.TS)
        for number in range(runs):
            times = {"ours_s": _seconds(lambda: _windows(frame))}
            times["sort_s"] = _seconds(lambda: frame.sort(c.USER_ID, c.TS))
            if number < DUCKDB_RUNS:
                times["duckdb_s"] = _seconds(lambda: _ask(reference, on_integers=False))
                times["duckdb_integers_s"] = _seconds(lambda: _ask(reference, on_integers=True))
            measured.append(times)
        reference.close()
    seconds = medians(measured, keys=("ours_s", "sort_s", "duckdb_s", "duckdb_integers_s"))
    online = measure(events=min(events, ONLINE_EVENTS), seed=seed)
    return BenchResult("features", _figures(seconds, events) | online, measured)


def _windows(events: pl.DataFrame) -> pl.DataFrame:
    return collect(window_features(events.lazy(), WINDOWS))


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _figures(seconds: dict[str, float], n_events: int) -> dict[str, float]:
    ours_s = seconds["ours_s"]
    return {
        "events_per_s": n_events / ours_s,
        "vs_duckdb": seconds["duckdb_s"] / ours_s,
        "vs_duckdb_integers": seconds["duckdb_integers_s"] / ours_s,
        "vs_sort": seconds["sort_s"] / ours_s,
    }


def _duckdb(events: pl.DataFrame, folder: Path) -> "DuckDBPyConnection":
    """A DuckDB table ``events`` of the same rows, with their numbers and integer times."""
    try:
        import duckdb
    except ModuleNotFoundError as error:
        raise InputError(
            f"`bench features` compares with DuckDB: {error}. Run `pip install 'recbench[dev]'`"
        ) from error
    file = folder / "events.parquet"
    events.with_row_index(ROW).with_columns(
        pl.col(c.TS).dt.epoch("us").alias(MICROSECONDS)
    ).write_parquet(file)
    connection = duckdb.connect(
        config={"threads": pl.thread_pool_size(), "temp_directory": str(folder / "spill")}
    )
    connection.execute("CREATE TABLE events AS SELECT * FROM read_parquet(?)", [str(file)])
    return connection


def _ask(connection: "DuckDBPyConnection", *, on_integers: bool) -> None:
    connection.execute(_window_query(on_integers=on_integers))


def _window_query(*, on_integers: bool) -> str:
    """All of ``WINDOWS`` in one query, over the events strictly before the instant."""
    order, unit = (MICROSECONDS, "{}::BIGINT") if on_integers else (c.TS, "INTERVAL {} MICROSECOND")
    columns = [ROW]
    for feature in WINDOWS:
        first, last = unit.format(feature.window // timedelta(microseconds=1)), unit.format(1)
        frame = f"RANGE BETWEEN {first} PRECEDING AND {last} PRECEDING"
        window = f"PARTITION BY {feature.entity} ORDER BY {order} {frame}"
        columns.append(f"{_aggregate(feature).format(f'OVER ({window})')} AS {feature.name}")
    selected = f"SELECT {', '.join(columns)} FROM ({JUMPS.format(order=order)})"
    return f"CREATE OR REPLACE TABLE answers AS {selected}"


def _aggregate(feature: WindowFeature) -> str:
    """The feature in SQL, with a place for its window."""
    value = c.CLICKED if feature.aggregation == "count" else feature.value
    name = "avg" if feature.aggregation == "mean" else "sum"
    found = f"{name}({value}::BIGINT) {{}}"
    return found if feature.aggregation == "mean" else f"coalesce({found}, 0)::BIGINT"


def _compare(connection: "DuckDBPyConnection", ours: pl.DataFrame) -> None:
    """Refuse to time queries that do not give the same numbers."""
    for on_integers in (False, True):
        _ask(connection, on_integers=on_integers)
        answers = connection.execute(f"SELECT * FROM answers ORDER BY {ROW}").fetchnumpy()
        for feature in WINDOWS:
            theirs = np.ma.filled(answers[feature.name], np.nan)  # as ours has it for null
            _require_equal(feature.name, ours[feature.name].to_numpy(), theirs)


def _require_equal(name: str, ours: Numbers, theirs: Numbers) -> None:
    differing = np.flatnonzero((ours != theirs) & ~(np.isnan(ours) & np.isnan(theirs)))
    if len(differing):
        row = int(differing[0])
        raise JobError(
            f"{name} differs from DuckDB in {len(differing)} of {len(ours)} rows; "
            f"first in row {row}: {ours[row]} here, {theirs[row]} there"
        )
