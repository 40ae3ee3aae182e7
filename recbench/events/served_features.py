"""The features of examples: as they were served, or as of the watermark then."""

from collections.abc import Sequence

import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.events.shown import ARRIVAL
from recbench.features.batch import collect, features_at
from recbench.features.definitions import Feature
from recbench.features.derived import derived_values, with_derived

__all__ = ["FEATURES_SOURCE", "with_features"]

FEATURES_SOURCE = "features_source"
SERVED, AS_OF_WATERMARK = "served", "watermark"
ROW = "_row"
KEYS = (c.USER_ID, c.ITEM_ID, c.CATEGORY)


def with_features(
    examples: pl.DataFrame, events: pl.LazyFrame, features: Sequence[Feature]
) -> pl.DataFrame:
    """The examples with a column a feature, and with where the values come from.

    What the server logged with an exposure is taken as it is, a feature that it did not log being
    null. An exposure without a log gets what was certain then: the features at the watermark that
    stood when it came, or at its own time where that is earlier, over the events that were not
    late.

    Args:
        examples: of the joiner.
        events: of a stream's table, of all the time that the features look back on; read only
            where something was not served.
        features: what to add.

    Raises:
        InputError: what was served of an exposure is no JSON object of the features' types.
    """
    examples = examples.with_row_index(ROW)
    is_served = pl.col(c.FEATURES_SERVED).is_not_null()
    computed = _as_of_watermark(examples.filter(~is_served), events, features)
    dtypes = {feature.name: computed.schema[feature.name] for feature in features}
    served = _served(examples.filter(is_served), dtypes)
    both = pl.concat([served, computed], how="diagonal").sort(ROW)
    return both.drop(ROW, c.FEATURES_SERVED)


def _served(examples: pl.DataFrame, dtypes: dict[str, pl.DataType]) -> pl.DataFrame:
    fields = pl.Struct(dtypes)
    try:
        values = examples[c.FEATURES_SERVED].str.json_decode(fields)
    except pl.exceptions.ComputeError as error:
        raise InputError(
            f"`{c.FEATURES_SERVED}` must be JSON objects of {fields}: {error}. Log the features "
            "with the declarations that the examples are made with"
        ) from error
    read = pl.DataFrame([values.struct.field(name).alias(name) for name in dtypes])
    return examples.with_columns(read).with_columns(pl.lit(SERVED).alias(FEATURES_SOURCE))


def _as_of_watermark(
    examples: pl.DataFrame, events: pl.LazyFrame, features: Sequence[Feature]
) -> pl.DataFrame:
    held = events.collect_schema()
    keys = [name for name in KEYS if name in examples.columns and name in held]
    certain = pl.min_horizontal(c.TS, c.WATERMARK)
    points = examples.select(*keys, certain.alias(c.TS))
    if not len(points):
        events = pl.LazyFrame(schema=held)
    for entity in dict.fromkeys(feature.entity for feature in features):
        own = [feature for feature in features if feature.entity == entity]
        values = collect(features_at(_history(events, points, own), points.lazy(), own))
        examples = examples.with_columns(values.select(feature.name for feature in own))
    return examples.with_columns(pl.lit(AS_OF_WATERMARK).alias(FEATURES_SOURCE))


def _history(
    events: pl.LazyFrame, points: pl.DataFrame, features: Sequence[Feature]
) -> pl.LazyFrame:
    """The events that features of one entity at the points are made of, in order of arrival."""
    entity = features[0].entity
    if entity not in points.columns:
        return events  # features_at says what is missing
    of_entity = pl.col(entity).is_in(points[entity].drop_nulls().unique().implode())
    if entity == c.USER_ID:
        return events.filter(of_entity).sort(ARRIVAL)
    if derived_values(features):  # they run along users, so no user's row may be left out before
        events = with_derived(events.sort(ARRIVAL), features)
    return events.filter(of_entity).sort(ARRIVAL)
