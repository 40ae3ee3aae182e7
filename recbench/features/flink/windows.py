"""The SELECTs on top of one another in which features come about, from `asked` and `passed`.

A feature at t sees [t - w, t), but Flink's OVER windows hold their own instant and both bounds. So
the rows that want features, ``asked``, stand at their own t, and the rows that features are made
of, ``passed``, one millisecond later. The window from t - w + 1 ms to t over both holds just what
passed in [t - w, t - 1 ms], since event time has whole milliseconds in Flink. All OVER windows of
one SELECT must be equal, so there is a SELECT for each distinct one.

A SELECT over another key puts the rows of one instant in another order. What depends on that order,
jumps and last values, is therefore found in branches of ``passed``, each with one key only, before
they join ``asked``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import polars as pl

from recbench import columns as c
from recbench.errors import InputError, SchemaError
from recbench.features.definitions import (
    DecayedPopularity,
    Feature,
    LastValues,
    SinceLast,
    WindowFeature,
)
from recbench.features.flink.dialect import interval, milliseconds, name, sql_type
from recbench.features.flink.tables import LATE, MS, ROWTIME

__all__ = ["JUMP", "Windows", "result_dtype"]

INT, FLOAT, BOOLEAN = pl.Int64(), pl.Float64(), pl.Boolean()
MILLISECOND, MICROSECOND = timedelta(milliseconds=1), timedelta(microseconds=1)
ASKING = "flink_asking"
ALL_BEFORE = "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"

ONE_BEFORE = "ROWS BETWEEN 1 PRECEDING AND CURRENT ROW"
CLICKS_OF_USERS = f"{c.USER_ID}, {c.CLICKED}"  # the key of the branch that all values go through

# FIRST_VALUE passes over nulls: a click after one of no category is compared with itself, no jump.
JUMP, CATEGORY_BEFORE = "category_jump", "flink_category_before"
JUMP_SQL = (  # of an unclicked row null
    f"CASE WHEN NOT {c.CLICKED} THEN CAST(NULL AS BIGINT) WHEN {c.USER_ID} IS NOT NULL AND "
    f"CARDINALITY(ARRAY_INTERSECT(SPLIT({c.CATEGORY}, '|'), SPLIT({CATEGORY_BEFORE}, '|'))) = 0 "
    "THEN 1 ELSE 0 END"
)

# Popularity is summed in stretches of so many half-lives, in which 2 ** elapsed stays far from
# overflow. They are counted from the year 1, so that no time is negative.
HALF_LIVES, LONGEST_STRETCH = 256, 2**62
US_SINCE_YEAR_1 = f"({MS} + 62135596800000) * 1000"

# For each instant of a window Flink looks at all that the window holds. One window over everything
# that has no category would take quadratic time; nobody reads it, so it is split.
NULL_PARTS = 1009


def result_dtype(feature: Feature, dtypes: Mapping[str, pl.DataType]) -> pl.DataType:
    """What the feature's values are, where the source's columns have ``dtypes``."""
    if isinstance(feature, DecayedPopularity):
        return FLOAT
    if isinstance(feature, SinceLast):
        return INT
    if isinstance(feature, LastValues):
        return pl.List(_value(feature.value, dtypes)[1])
    if feature.aggregation in {"count", "n_unique"}:
        return INT
    return FLOAT if feature.aggregation == "mean" else _number(feature, dtypes)[1]


@dataclass(slots=True)
class Windows:
    """What some features are made of, each thing once.

    First ask for the ``result`` of every feature, then for the ``views`` that they read.
    """

    dtypes: Mapping[str, pl.DataType]  # of the columns of `asked` and `passed`
    only_clicks: bool = True  # whether no result so far needs other rows
    branches: dict[str, dict[str, str]] = field(default_factory=lambda: {CLICKS_OF_USERS: {}})
    carried: dict[tuple[str, str, str], str] = field(default_factory=dict)
    over: dict[tuple[int, str], dict[str, str]] = field(default_factory=dict)

    def result(self, feature: Feature) -> str:
        """The feature's SQL over the last view.

        Raises:
            InputError: a window is shorter than a millisecond or longer than 999 days.
            SchemaError: a column is of a type that cannot be aggregated so.
        """
        if getattr(feature, "value", None) == JUMP:
            self._branched(
                f"FIRST_VALUE({c.CATEGORY})", CLICKS_OF_USERS, ONE_BEFORE, column=CATEGORY_BEFORE
            )
        if isinstance(feature, WindowFeature):
            value = self._window(feature)
        elif isinstance(feature, SinceLast):
            last = self._carry(MS, INT, of=feature.of)
            value = f"({MS} - {self._all_before(f'MAX({last})', feature.entity)}) * 1000"
        elif isinstance(feature, LastValues):
            value = self._last_values(feature)
        else:
            value = self._decayed(feature)
        return f"CASE WHEN {feature.entity} IS NOT NULL THEN {value} END"

    def views(self, place: Mapping[str, str], *, entities: Iterable[str], every: bool) -> list[str]:
        """The statements for the views; the last one, ``answered``, holds the asking rows.

        Each aggregate stands in a CASE, since Flink 2.3 confuses the columns of an OVER window that
        is right on top of another.

        Args:
            place: the columns that say which row it is, with their types.
            entities: columns to be kept besides.
            every: whether late rows ask, too.
        """
        counted = f"NOT {LATE} AND {c.CLICKED}" if self.only_clicks else f"NOT {LATE}"
        statements = [_view("passed_0", f"SELECT * FROM passed WHERE {counted}")]
        kept = [MS, ROWTIME, LATE, *map(name, entities)]
        nulls = [f"{null} AS {column}" for (_, _, null), column in self.carried.items()]
        asking = "" if every else f" WHERE NOT {LATE}"
        parts = [_select([*place, *kept, f"TRUE AS {ASKING}", *nulls], f"asked{asking}")]
        nowhere = [f"CAST(NULL AS {type_})" for type_ in place.values()]
        for branch, windows in self.branches.items():
            view = "passed_0"
            for window, column in windows.items():
                found = f"CASE WHEN {MS} IS NOT NULL THEN {window} END AS {column}"
                statements.append(_view(f"passed_{column}", _select(["*", found], view)))
                view = f"passed_{column}"
            values = [value if of == branch else null for of, value, null in self.carried]
            parts.append(_select([*nowhere, *kept, "FALSE", *values], view))
        statements.append(_view("rows_0", "\nUNION ALL\n".join(parts)))
        for number, ((_, window), aggregates) in enumerate(sorted(self.over.items()), start=1):
            values = [
                f"CASE WHEN {ASKING} THEN {aggregate} OVER w END AS {column}"
                for aggregate, column in aggregates.items()
            ]
            below = f"rows_{number - 1}\nWINDOW w AS ({window})"
            statements.append(_view(f"rows_{number}", _select(["*", *values], below)))
        last = f"rows_{len(self.over)} WHERE {ASKING}"
        return [*statements, _view("answered", _select(["*"], last))]

    def _window(self, feature: WindowFeature) -> str:
        length = milliseconds(feature.window)
        if length < 1:
            raise InputError(
                f"{feature.name}: `window` must be a millisecond at least for Flink, got "
                f"{feature.window}"
            )
        span = interval((length - 1) * MILLISECOND, what=feature.name)
        frame = f"RANGE BETWEEN {span} PRECEDING AND CURRENT ROW"
        nulls = f", CASE WHEN {c.CATEGORY} IS NULL THEN MOD({MS}, {NULL_PARTS}) END"
        key = feature.entity + (nulls if feature.entity == c.CATEGORY else "")

        def found(aggregate: str) -> str:
            return self._over(aggregate, key, frame, rank=-length)

        if feature.aggregation == "count":
            return found(f"COUNT({self._carry('1', INT, of=feature.of)})")
        if feature.aggregation == "n_unique":
            value = self._carry(*_value(str(feature.value), self.dtypes), of=feature.of)
            return found(f"COUNT(DISTINCT {value})")
        sql, dtype = _number(feature, self.dtypes)
        value = self._carry(sql, dtype, of=feature.of)
        if feature.aggregation in {"min", "max"}:
            return found(f"{feature.aggregation.upper()}({value})")
        total = found(f"SUM({value})")
        if feature.aggregation == "sum":
            return f"COALESCE({total}, 0)"
        return f"CAST({total} AS DOUBLE) / NULLIF({found(f'COUNT({value})')}, 0)"

    def _decayed(self, feature: DecayedPopularity) -> str:
        """A click weighs 2 ** its time in its stretch; the sum is scaled back to t.

        What passed counts in its own stretch and the next; further on it weighs nothing.
        """
        half_life = feature.half_life // MICROSECOND
        width = min(HALF_LIVES * half_life, LONGEST_STRETCH)
        elapsed = f"CAST(MOD({US_SINCE_YEAR_1}, {width}) AS DOUBLE) / {half_life}"
        stretch = f"{US_SINCE_YEAR_1} / {width}"
        weight = self._carry(f"POWER(2e0, {elapsed})", FLOAT, of="clicks")
        here = self._column(stretch, stretch)
        after = self._column(f"{stretch} + 1", stretch)
        now = self._all_before(f"SUM({weight})", f"{feature.entity}, {here}")
        earlier = self._all_before(f"SUM({weight})", f"{feature.entity}, {after}")
        scale = 2.0 ** -(width / half_life)
        held = f"COALESCE({now}, 0e0) + COALESCE({earlier}, 0e0) * {scale:.17e}"
        return f"({held}) * POWER(2e0, -{elapsed})"

    def _last_values(self, feature: LastValues) -> str:
        """The list as of each instant that passed, then the latest one of them."""
        key = f"{feature.entity}, {c.CLICKED}" if feature.of == "clicks" else feature.entity
        if feature.value == JUMP and key != CLICKS_OF_USERS:
            raise InputError(
                f"{feature.name}: Flink finds the last `{JUMP}` of the clicks of a user only, not "
                f"of the {feature.of} of `{feature.entity}`"
            )
        value, dtype = _value(feature.value, self.dtypes)
        frame = f"ROWS BETWEEN {feature.k - 1} PRECEDING AND CURRENT ROW"
        listed = self._branched(f"ARRAY_AGG({value})", key, frame)
        latest = self._branched(f"LAST_VALUE({listed})", key, ALL_BEFORE)
        carried = self._carry(latest, pl.List(dtype), of=feature.of, branch=key)
        last = self._all_before(f"LAST_VALUE({carried})", feature.entity, rank=1)
        nothing = f"ARRAY[CAST(NULL AS {sql_type(dtype, column=feature.value)})]"
        return f"COALESCE({last}, ARRAY_EXCEPT({nothing}, {nothing}))"

    def _branched(self, aggregate: str, key: str, frame: str, *, column: str | None = None) -> str:
        """The column of an aggregate over `passed`, in the branch of ``key``."""
        window = f"{aggregate} OVER (PARTITION BY {key} ORDER BY {ROWTIME} {frame})"
        column = column or f"b{sum(map(len, self.branches.values()))}"
        return self.branches.setdefault(key, {}).setdefault(window, column)

    def _carry(
        self, value: str, dtype: pl.DataType, *, of: str, branch: str = CLICKS_OF_USERS
    ) -> str:
        """The column that holds ``value`` for what passed and counts, null for other rows."""
        self.only_clicks &= of == "clicks"
        null = f"CAST(NULL AS {sql_type(dtype, column=value)})"
        counted = f"CASE WHEN {c.CLICKED} THEN {value} END" if of == "clicks" else value
        return self._column(counted, null, branch=branch)

    def _column(self, passed: str, asked: str, *, branch: str = CLICKS_OF_USERS) -> str:
        return self.carried.setdefault((branch, passed, asked), f"c{len(self.carried)}")

    def _all_before(self, aggregate: str, key: str, *, rank: int = 0) -> str:
        return self._over(aggregate, key, ALL_BEFORE, rank=rank)

    def _over(self, aggregate: str, key: str, frame: str, *, rank: int) -> str:
        """The column of an aggregate.

        The smallest ``rank`` comes first: Flink keeps whole rows for the length of a window, so the
        longest ones stand where rows are narrow, and lists come last.
        """
        window = f"PARTITION BY {key} ORDER BY {ROWTIME} {frame}"
        found = self.over.setdefault((rank, window), {})
        return found.setdefault(aggregate, f"a{sum(map(len, self.over.values()))}")


def _value(value: str, dtypes: Mapping[str, pl.DataType]) -> tuple[str, pl.DataType]:
    """A value's SQL over `passed`, and its dtype."""
    if value == JUMP:
        return JUMP_SQL, INT
    return name(value), BOOLEAN if value == c.CLICKED else dtypes[value]


def _number(feature: WindowFeature, dtypes: Mapping[str, pl.DataType]) -> tuple[str, pl.DataType]:
    """The value's SQL as an integer or a float."""
    value, dtype = _value(str(feature.value), dtypes)
    if dtype == pl.Boolean:
        return f"CAST({value} AS BIGINT)", INT
    if dtype.is_integer() or dtype == pl.Null:
        return value, INT
    if dtype.is_float() or dtype.is_decimal():
        return value, FLOAT
    raise SchemaError(
        f"{feature.name}: `{feature.aggregation}` needs numbers, `{feature.value}` is {dtype}"
    )


def _view(view: str, select: str) -> str:
    return f"CREATE TEMPORARY VIEW {view} AS\n{select}"


def _select(values: Iterable[str], rows: str) -> str:
    return f"SELECT {', '.join(values)}\nFROM {rows}"
