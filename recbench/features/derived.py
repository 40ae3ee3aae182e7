"""Values of an event that its log does not hold, made from it and what the user did before."""

from collections.abc import Iterable

import numpy as np
import polars as pl

from recbench import columns as c
from recbench.errors import SchemaError
from recbench.features.definitions import Feature
from recbench.features.prepared import COUNTS, prepared
from recbench.features.timeline import Ints, Timeline, codes_of

__all__ = ["DERIVED", "columns_of", "derived_values", "with_derived"]

# A derived value -> the columns it is made of, besides `ts` and `clicked`. It runs along users:
# rows of other users do not change it.
DERIVED: dict[str, tuple[str, ...]] = {"category_jump": (c.USER_ID, c.CATEGORY)}

BITS = 63  # of a word of categories; the sign is left out


def columns_of(features: Iterable[Feature], held: Iterable[str]) -> list[str]:
    """The columns among ``held`` that ``features`` are made of, each once.

    For a derived value that is not ``held`` they are those that it is made of.
    """
    there = set(held)
    names = [c.TS, c.CLICKED, c.WATERMARK]
    for feature in features:
        names.append(feature.entity)
        value = getattr(feature, "value", None)
        if value is not None:
            names += [value] if value in there else DERIVED.get(value, ())
    return [name for name in dict.fromkeys(names) if name in there]


def derived_values(features: Iterable[Feature]) -> list[str]:
    """The names of the derived values among what ``features`` aggregate, each once."""
    named = dict.fromkeys(getattr(feature, "value", None) for feature in features)
    return [name for name in named if name in DERIVED]


def with_derived(events: pl.LazyFrame, features: Iterable[Feature]) -> pl.LazyFrame:
    """``events`` with a column for each derived value that ``features`` aggregate.

    ``category_jump`` of a click is 1 where its categories and those of the user's click before
    are both known and share none, else 0; of any other row null. Late rows neither make nor break
    a jump, nor have one. A column that is there already is taken as it stands.

    Args:
        events: canonical, in order of arrival.
        features: what is to be computed.

    Raises:
        SchemaError: there is no ``user_id`` or ``ts``.
    """
    schema = events.collect_schema()
    if not [name for name in derived_values(features) if name not in schema]:
        return events
    missing = [name for name in (c.USER_ID, c.TS) if name not in schema]
    if missing:
        raise SchemaError(f"`category_jump` needs {missing}, but the events have {schema.names()}")
    return events.map_batches(
        _with_jumps,
        schema={**schema, "category_jump": pl.Int64()},
        predicate_pushdown=False,
        projection_pushdown=False,
        slice_pushdown=False,
    )


def _with_jumps(events: pl.DataFrame) -> pl.DataFrame:
    clicked = events.with_columns(prepared(events.schema, [])).select(COUNTS["clicks"]).to_series()
    rows = clicked.arg_true().to_numpy()
    jumps, known = np.zeros(len(events), dtype=np.int64), np.zeros(len(events), dtype=bool)
    known[rows] = True
    if c.CATEGORY in events.columns:
        jumps[rows] = _jumps(events.select(c.USER_ID, c.TS, c.CATEGORY)[rows])
    column = pl.when(pl.Series(known)).then(pl.Series(jumps))
    return events.with_columns(column.alias("category_jump"))


def _jumps(clicks: pl.DataFrame) -> Ints:
    """(R,) 1 where a click and the one before it of its user share no category, else 0."""
    timeline = Timeline.of(clicks[c.USER_ID], clicks[c.TS].dt.epoch("us").to_numpy())
    codes, words = _category_words(clicks[c.CATEGORY].cast(pl.String))
    after = np.flatnonzero(timeline.start[1:] == timeline.start[:-1]) + 1
    rows = timeline.rows[after]
    now, before = codes[rows], codes[timeline.rows[after - 1]]
    shared = np.zeros(len(rows), dtype=bool)
    for word in words:
        shared |= (word[now] & word[before]) != 0
    jumps = np.zeros(len(clicks), dtype=np.int64)
    jumps[rows] = ~shared
    return jumps


def _category_words(categories: pl.Series) -> tuple[Ints, Ints]:
    """(R,) a code for each set of categories, and (W, D) the sets, a bit a category.

    The last code is of what is not known: it shares a bit with everything.
    """
    found, bound = codes_of(categories)
    distinct = np.flatnonzero(found == np.arange(len(found)))
    dense = np.zeros(bound + 1, dtype=np.int64)
    dense[distinct], dense[bound] = np.arange(len(distinct)), len(distinct)
    sets = categories.gather(distinct).str.split("|").to_frame("category").with_row_index("code")
    pairs = sets.explode("category", empty_as_null=False)
    bit = pairs["category"].rank("dense").to_numpy().astype(np.int64) - 1
    words = np.zeros((bit.max(initial=0) // BITS + 1, len(distinct) + 1), dtype=np.int64)
    np.bitwise_or.at(words, (bit // BITS, pairs["code"].to_numpy()), 1 << bit % BITS)
    words[:, -1] = -1
    return dense[found], words
