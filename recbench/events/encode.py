"""Canonical rows as Kafka messages: what ``messages`` reads."""

import polars as pl

from recbench import columns as c

__all__ = ["encode_events"]

INSTANT_FORMAT = "%Y-%m-%dT%H:%M:%S%.6fZ"
FEATURES = "features"
FIELDS = tuple(c.EVENT_DTYPES)
END = 1  # the length of the brace that closes an object


def encode_events(events: pl.DataFrame) -> list[bytes]:
    """One JSON object a row: its canonical columns, and what was served as ``features``.

    Args:
        events: canonical; other columns are left out.
    """
    fields = [_field(name) for name in FIELDS if name in events.columns]
    text = pl.struct(fields).struct.json_encode()
    if c.FEATURES_SERVED in events.columns:
        served = pl.col(c.FEATURES_SERVED)
        longer = pl.concat_str(text.str.head(-END), pl.lit(f',"{FEATURES}":'), served, pl.lit("}"))
        text = pl.when(served.is_not_null()).then(longer).otherwise(text)
    return events.select(text.cast(pl.Binary)).to_series().to_list()


def _field(name: str) -> pl.Expr:
    column = pl.col(name)
    return column.dt.strftime(INSTANT_FORMAT) if c.EVENT_DTYPES[name] == c.INSTANT else column
