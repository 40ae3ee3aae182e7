"""One entity's features at one instant, and the events that each of them sees."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.features.batch import features_at
from recbench.features.definitions import (
    DecayedPopularity,
    Entity,
    Feature,
    LastValues,
    SinceLast,
    WindowFeature,
)
from recbench.widgets.durations import duration

__all__ = ["counting_events", "seen_events", "values_at"]

LONGEST_LIST = 8  # values of a list that are shown


def values_at(
    events: pl.DataFrame,
    features: Sequence[Feature],
    *,
    entity: Entity,
    entity_id: int,
    at: datetime,
) -> pl.DataFrame:
    """``feature, value, unit, looks at, events, number``: what is known just before ``at``.

    The values are those of the batch engine, which training and serving share; ``value`` is text
    and shows the latest of a list, ``number`` is null for lists and where there is no value.
    ``events`` counts what the feature sees.

    Args:
        events: canonical.
        features: those of other entities are left out.
        entity: ``user_id`` or ``item_id``.
        entity_id: whose; without events the features have their empty values.
        at: in UTC.

    Raises:
        InputError: an entity that is neither, or no feature of it.
    """
    if entity not in {c.USER_ID, c.ITEM_ID}:
        raise InputError(f"`entity` must be {c.USER_ID} or {c.ITEM_ID}, got {entity!r}")
    own = [feature for feature in features if feature.entity == entity]
    if not own:
        raise InputError(f"None of {[f.name for f in features]} is a feature of a {entity}")
    about = events.filter(pl.col(entity) == entity_id)
    point = pl.DataFrame(
        {entity: [entity_id], c.TS: [at]},
        schema={entity: events.schema[entity], c.TS: events.schema[c.TS]},
    )
    found = features_at(about.lazy(), point.lazy(), own).collect().row(0, named=True)
    rows = [
        (
            feature.name,
            _text(found[feature.name]),
            feature.unit,
            _reach(feature),
            len(seen_events(about, feature, entity_id=entity_id, at=at)),
            None if isinstance(found[feature.name], list) else found[feature.name],
        )
        for feature in own
    ]
    texts = dict.fromkeys(("feature", "value", "unit", "looks at"), pl.String)
    schema = texts | {"events": pl.Int64, "number": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row", strict=False)


def seen_events(
    events: pl.DataFrame, feature: Feature, *, entity_id: int, at: datetime
) -> pl.DataFrame:
    """The rows that ``feature`` is made of at ``at``, in order of time; all strictly before it.

    A window starts with its first instant, the last k values are those of the last k rows.

    Args:
        events: canonical.
        feature: of users or items.
        entity_id: whose.
        at: in UTC.
    """
    rows = counting_events(events, feature, entity_id=entity_id).filter(pl.col(c.TS) < at)
    if isinstance(feature, WindowFeature):
        return rows.filter(pl.col(c.TS) >= at - feature.window)
    if isinstance(feature, LastValues):
        return rows.tail(feature.k)
    return rows.tail(1) if isinstance(feature, SinceLast) else rows


def counting_events(events: pl.DataFrame, feature: Feature, *, entity_id: int) -> pl.DataFrame:
    """The entity's rows that count for ``feature`` at any time, in order of time.

    Late rows count nowhere, and rows without a click do not where clicks are counted.
    """
    counts = [pl.col(feature.entity) == entity_id]
    if c.WATERMARK in events.columns:
        counts.append((pl.col(c.TS) >= pl.col(c.WATERMARK)).fill_null(True))
    of_clicks = isinstance(feature, DecayedPopularity) or feature.of == "clicks"
    if of_clicks and c.CLICKED in events.columns:
        counts.append(pl.col(c.CLICKED))
    return events.filter(counts).sort(c.TS, maintain_order=True)


def _reach(feature: Feature) -> str:
    if isinstance(feature, WindowFeature):
        return f"the last {duration(feature.window.total_seconds())}"
    if isinstance(feature, LastValues):
        return f"the last {feature.k}"
    if isinstance(feature, SinceLast):
        return "the last one"
    return f"all, halved every {duration(feature.half_life.total_seconds())}"


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        shown = ", ".join(str(each) for each in value[-LONGEST_LIST:])
        return f"… {shown}" if len(value) > LONGEST_LIST else shown
    return f"{value:.6g}" if isinstance(value, float) else f"{value:,}"
