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
from recbench.features.flink.dialect import LONGEST_INTERVAL, interval, name, sql_type
from recbench.features.flink.tables import CLICK, LATE, MS, ROWTIME
from recbench.features.prepared import decay_us

__all__ = ["Windows"]

INT, FLOAT = pl.Int64(), pl.Float64()
MILLISECOND = timedelta(milliseconds=1)
ASKING = "flink_asking"
ALL_BEFORE = "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"

ONE_BEFORE = "ROWS BETWEEN 1 PRECEDING AND CURRENT ROW"
CLICKS_OF_USERS = f"{c.USER_ID}, {CLICK}"  # the key of the branch that all values go through

# FIRST_VALUE passes over nulls: a click after one of no category is compared with itself, no jump.
JUMP, CATEGORY_BEFORE = "category_jump", "flink_category_before"
JUMP_SQL = (  # of an unclicked row null
    f"CASE WHEN NOT {CLICK} THEN CAST(NULL AS BIGINT) WHEN {c.USER_ID} IS NOT NULL AND "
    f"CARDINALITY(ARRAY_INTERSECT(SPLIT({c.CATEGORY}, '|'), SPLIT({CATEGORY_BEFORE}, '|'))) = 0 "
    "THEN 1 ELSE 0 END"
)

# What spans of popularity are counted from, so that no time is negative.
US_SINCE_YEAR_1 = f"({MS} + 62135596800000) * 1000"

# For each instant of a window Flink looks at all that the window holds. One window over everything
# that has no category would take quadratic time; nobody reads it, so it is split.
NULL_PARTS = 1009


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
        if self._is_derived(getattr(feature, "value", None)):
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
        counted = f"NOT {LATE} AND {CLICK}" if self.only_clicks else f"NOT {LATE}"
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
        if not MILLISECOND <= feature.window <= LONGEST_INTERVAL:
            raise InputError(
                f"{feature.name}: in Flink `window` must be of a millisecond to "
                f"{LONGEST_INTERVAL.days} days, got {feature.window}"
            )
        span = interval(feature.window - MILLISECOND)
        frame = f"RANGE BETWEEN {span} PRECEDING AND CURRENT ROW"
        nulls = f", CASE WHEN {c.CATEGORY} IS NULL THEN MOD({MS}, {NULL_PARTS}) END"
        key = feature.entity + (nulls if feature.entity == c.CATEGORY else "")

        def found(aggregate: str) -> str:
            return self._over(aggregate, key, frame, rank=-(feature.window // MILLISECOND))

        if feature.aggregation == "count":
            return found(f"COUNT({self._carry('1', INT, of=feature.of)})")
        if feature.aggregation == "n_unique":
            value = self._carry(*self._value(str(feature.value)), of=feature.of)
            return found(f"COUNT(DISTINCT {value})")
        sql, dtype = self._number(feature)
        value = self._carry(sql, dtype, of=feature.of)
        if feature.aggregation in {"min", "max"}:
            return found(f"{feature.aggregation.upper()}({value})")
        total = found(f"SUM({value})")
        if feature.aggregation == "sum":
            return f"COALESCE({total}, 0)"
        return f"CAST({total} AS DOUBLE) / NULLIF({found(f'COUNT({value})')}, 0)"

    def _decayed(self, feature: DecayedPopularity) -> str:
        """A click weighs 2 ** its time in its span; the sum is scaled back to t.

        What passed counts in its own span and the next; further on it weighs nothing.
        """
        half_life, span = decay_us(feature)
        elapsed = f"CAST(MOD({US_SINCE_YEAR_1}, {span}) AS DOUBLE) / {half_life}"
        number = f"{US_SINCE_YEAR_1} / {span}"
        weight = self._carry(f"POWER(2e0, {elapsed})", FLOAT, of="clicks")
        here = self._column(number, number)
        after = self._column(f"{number} + 1", number)
        now = self._all_before(f"SUM({weight})", f"{feature.entity}, {here}")
        earlier = self._all_before(f"SUM({weight})", f"{feature.entity}, {after}")
        scale = 2.0 ** -(span / half_life)
        held = f"COALESCE({now}, 0e0) + COALESCE({earlier}, 0e0) * {scale:.17e}"
        return f"({held}) * POWER(2e0, -{elapsed})"

    def _last_values(self, feature: LastValues) -> str:
        """The list as of each instant that passed, then the latest one of them."""
        key = f"{feature.entity}, {CLICK}" if feature.of == "clicks" else feature.entity
        if self._is_derived(feature.value) and key != CLICKS_OF_USERS:
            raise InputError(
                f"{feature.name}: Flink finds the last `{JUMP}` of the clicks of a user only, not "
                f"of the {feature.of} of `{feature.entity}`"
            )
        value, dtype = self._value(feature.value)
        frame = f"ROWS BETWEEN {feature.k - 1} PRECEDING AND CURRENT ROW"
        listed = self._branched(f"ARRAY_AGG({value})", key, frame)
        latest = self._branched(f"LAST_VALUE({listed})", key, ALL_BEFORE)
        carried = self._carry(latest, pl.List(dtype), of=feature.of, branch=key)
        last = self._all_before(f"LAST_VALUE({carried})", feature.entity, rank=1)
        nothing = f"ARRAY[CAST(NULL AS {sql_type(dtype, column=feature.value)})]"
        return f"COALESCE({last}, ARRAY_EXCEPT({nothing}, {nothing}))"

    def _is_derived(self, value: str | None) -> bool:
        return value == JUMP and value not in self.dtypes

    def _value(self, value: str) -> tuple[str, pl.DataType]:
        """A value's SQL over `passed`, and its dtype."""
        return (JUMP_SQL, INT) if self._is_derived(value) else (name(value), self.dtypes[value])

    def _number(self, feature: WindowFeature) -> tuple[str, pl.DataType]:
        """The value's SQL as an integer or a float, and its dtype."""
        value, dtype = self._value(str(feature.value))
        if dtype == pl.Boolean:
            return f"CAST({value} AS BIGINT)", INT
        if dtype.is_integer() or dtype == pl.Null:
            return value, INT
        if dtype.is_float() or dtype.is_decimal():
            return value, FLOAT
        raise SchemaError(
            f"{feature.name}: `{feature.aggregation}` needs numbers, `{feature.value}` is {dtype}"
        )

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
        counted = f"CASE WHEN {CLICK} THEN {value} END" if of == "clicks" else value
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


def _view(view: str, select: str) -> str:
    return f"CREATE TEMPORARY VIEW {view} AS\n{select}"


def _select(values: Iterable[str], rows: str) -> str:
    return f"SELECT {', '.join(values)}\nFROM {rows}"
