"""Features on the CPU: the rows put in order once for each entity, then arrays over stretches.

Sums of integers are differences of running sums, everything else is put together from the values
of its own window. So a number is the same, to the last bit, whatever else is computed with it.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl

from recbench import columns as c
from recbench.features.definitions import Feature, LastValues, WindowFeature
from recbench.features.over import MICROSECOND, LogArrays, Over, may_be_null
from recbench.features.prepared import COUNTS, VALUE, result_dtype
from recbench.features.ranges import Numbers
from recbench.features.timeline import Flags, Ints, Stretch, Timeline

__all__ = ["computed"]


def computed(frame: pl.DataFrame, features: Sequence[Feature]) -> pl.DataFrame:
    """``frame`` with one more column a feature.

    Args:
        frame: with the columns that ``prepared`` made, in order of arrival.
        features: what to compute.
    """
    ts = frame[c.TS].dt.epoch("us").to_numpy()
    log, found = LogArrays.of(frame, features), dict[str, pl.Series]()
    for entity in dict.fromkeys(feature.entity for feature in features):
        timeline = Timeline.of(frame[entity], ts)
        mine = [feature for feature in features if feature.entity == entity]
        lists = [feature for feature in mine if isinstance(feature, LastValues)]
        found |= {feature.name: _last_values(feature, timeline, frame) for feature in lists}
        dtypes = {f: result_dtype(f, frame.schema) for f in mine if f not in lists}
        has_entity = frame[entity].is_not_null().to_numpy()
        found |= _numbers(dtypes, timeline, log, has_entity=has_entity)
    return frame.with_columns(**{feature.name: found[feature.name] for feature in features})


def _last_values(feature: LastValues, timeline: Timeline, frame: pl.DataFrame) -> pl.Series:
    """Slices of one long list: of all values that count, in the order of the timeline."""
    rows = timeline.rows
    counts = frame[COUNTS[feature.of]].to_numpy()[rows]
    before = np.concatenate([[0], np.cumsum(counts)])
    end = before[timeline.now]
    begin = np.maximum(before[timeline.start], end - feature.k)
    slices = pl.DataFrame(
        {
            "begin": _scattered(begin, rows, height=len(frame)),
            "length": _scattered(end - begin, rows, height=len(frame)),
            "known": frame[feature.entity].is_not_null(),
        }
    )
    values = frame[f"{VALUE}{feature.value}"].gather(rows[counts])
    lists = pl.lit(values.implode()).list.slice("begin", "length")
    return slices.select(pl.when("known").then(lists)).to_series()


def _numbers(
    dtypes: Mapping[Feature, pl.DataType], timeline: Timeline, log: LogArrays, *, has_entity: Flags
) -> dict[str, pl.Series]:
    """All but lists: a stretch at a time, by as many threads as Polars has."""
    height = len(has_entity)
    values: dict[Feature, Numbers] = {
        feature: np.zeros(height, dtype=np.float64 if dtype.is_float() else np.int64)
        for feature, dtype in dtypes.items()
    }
    known = {feature: np.zeros(height, dtype=bool) for feature in dtypes if may_be_null(feature)}
    windows = [f.window // MICROSECOND for f in dtypes if isinstance(f, WindowFeature)]

    def fill(stretch: Stretch) -> None:
        over = Over(stretch, log)
        for feature in dtypes:
            values[feature][stretch.rows], found = over.answer(feature)
            if found is not None:
                known[feature][stretch.rows] = found

    with ThreadPoolExecutor(pl.thread_pool_size()) as pool:
        list(pool.map(fill, timeline.stretches(longest=max(windows, default=0))))
    return {f.name: _nullable(values[f], known.get(f, has_entity)) for f in dtypes}


def _nullable(values: Numbers, known: Flags) -> pl.Series:
    series = pl.Series(values)
    if known.all():
        return series
    return pl.select(pl.when(pl.Series(known)).then(series)).to_series()


def _scattered(values: Ints, rows: Ints, *, height: int) -> Ints:
    scattered = np.zeros(height, dtype=np.int64)
    scattered[rows] = values
    return scattered
