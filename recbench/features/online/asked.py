"""What a lookup asks, and the frame that answers it; the same for every store."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from recbench import columns as c
from recbench.errors import InputError, SchemaError
from recbench.features.definitions import Entity, Feature
from recbench.features.online.arrays import Integers
from recbench.features.online.store import Ids, Instants

__all__ = ["framed", "no_features_of", "points", "require_exact"]


def points(entity: Entity, ids: Ids, at_us: Instants) -> tuple[pl.Series, Integers]:
    """Ids (N,) and instants (N,).

    Raises:
        SchemaError: ids of another dtype than the entity's.
    """
    asked = pl.Series(entity, ids)
    if asked.dtype != c.EVENT_DTYPES[entity]:
        raise SchemaError(f"`ids` must be {c.EVENT_DTYPES[entity]}, got {asked.dtype}")
    return asked, np.broadcast_to(np.asarray(at_us, dtype=np.int64), len(asked))


def framed(ids: pl.Series, at_us: Integers, answers: Sequence[pl.Series]) -> pl.DataFrame:
    """The points and their features; null for no entity."""
    ts = pl.Series(c.TS, at_us).cast(c.INSTANT)
    frame = pl.DataFrame([ids, ts, *answers])
    if not ids.null_count():
        return frame
    known = pl.col(ids.name).is_not_null()
    return frame.with_columns(pl.when(known).then(pl.col([each.name for each in answers])))


def require_exact(at_us: int, watermark_us: int | None) -> None:
    """Refuse an instant of which too much is forgotten."""
    if watermark_us is not None and at_us < watermark_us:
        raise InputError(
            f"`at_us` is {at_us}, before the watermark {watermark_us}: what only earlier instants "
            "see is forgotten. Ask for the watermark or later"
        )


def no_features_of(entity: str, features: Sequence[Feature]) -> InputError:
    """The error for an entity that has no features."""
    entities = list(dict.fromkeys(feature.entity for feature in features))
    return InputError(f"No feature is of {entity!r}, only of {entities}")
