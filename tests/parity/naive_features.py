"""Every kind of feature by a plain loop over all rows: slow, short and obviously right."""

from datetime import timedelta

import polars as pl

from recbench import columns as c
from recbench.features.definitions import DecayedPopularity, LastValues, SinceLast, WindowFeature

JUMP = "category_jump"
MICROSECOND = timedelta(microseconds=1)


def naive_features(events, features, points=None):
    """One column a feature, a row a point, computed from ``events`` in their order of arrival.

    The points are the events themselves unless others are given. Late rows count for nobody, but
    are points like any other. Without ``clicked`` every row is a click.
    """
    counted = [{c.CLICKED: True, **row} for row in events.to_dicts() if not is_late(row)]
    counted.sort(key=lambda row: row[c.TS])  # stable: one instant keeps its order of arrival
    add_category_jumps(counted)
    asked = (events if points is None else points).to_dicts()
    return pl.DataFrame(
        [
            pl.Series(
                feature.name,
                [value_at(point, counted, feature) for point in asked],
                dtype=dtype_of(feature, events.schema),
            )
            for feature in features
        ]
    )


def dtype_of(feature, schema):
    """Integers and booleans add up to Int64, floats to Float64."""
    if isinstance(feature, DecayedPopularity):
        return pl.Float64
    if isinstance(feature, SinceLast) or (
        isinstance(feature, WindowFeature) and feature.aggregation in {"count", "n_unique"}
    ):
        return pl.Int64
    value = schema.get(feature.value, pl.Int64 if feature.value == JUMP else pl.Null)
    if isinstance(feature, LastValues):
        return pl.List(value)
    return pl.Float64 if feature.aggregation == "mean" or value.is_float() else pl.Int64


def is_late(row):
    return row.get(c.WATERMARK) is not None and row[c.TS] < row[c.WATERMARK]


def add_category_jumps(counted):
    """1 for a click whose categories and those of the user's click before share none, else 0."""
    last_categories = {}  # of each user's last click
    for row in counted:
        row[JUMP] = None
        if row[c.CLICKED]:
            before, now = last_categories.get(row.get(c.USER_ID)), row.get(c.CATEGORY)
            known = before is not None and now is not None
            row[JUMP] = int(known and not set(before.split("|")) & set(now.split("|")))
            if row.get(c.USER_ID) is not None:
                last_categories[row[c.USER_ID]] = now


def value_at(point, counted, feature):
    """The feature at ``point``, an entity at an instant, over what came strictly before it."""
    if point[feature.entity] is None:
        return None
    clicks_only = isinstance(feature, DecayedPopularity) or feature.of == "clicks"
    before = [
        row
        for row in counted
        if row[feature.entity] == point[feature.entity]
        and row[c.TS] < point[c.TS]
        and (row[c.CLICKED] or not clicks_only)
    ]
    if isinstance(feature, WindowFeature):
        inside = [row for row in before if row[c.TS] >= point[c.TS] - feature.window]
        return aggregate(inside, feature)
    if isinstance(feature, LastValues):
        return [row.get(feature.value) for row in before][-feature.k :]
    if isinstance(feature, SinceLast):
        return (point[c.TS] - before[-1][c.TS]) // MICROSECOND if before else None
    return sum((0.5 ** ((point[c.TS] - row[c.TS]) / feature.half_life) for row in before), 0.0)


def aggregate(inside, feature):
    """What a window feature makes of the rows of its window."""
    if feature.aggregation == "count":
        return len(inside)
    values = [row.get(feature.value) for row in inside]
    held = [int(v) if isinstance(v, bool) else v for v in values if v is not None]
    if feature.aggregation == "sum":
        return sum(held)
    if feature.aggregation == "n_unique":
        return len(set(held))
    if not held:
        return None
    if feature.aggregation == "mean":
        return sum(held) / len(held)
    return min(held) if feature.aggregation == "min" else max(held)
