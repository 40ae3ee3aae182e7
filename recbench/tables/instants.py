"""Times as people and programs write them, read as UTC instants."""

import polars as pl

from recbench import columns as c

__all__ = ["utc_instants"]

SPACE = r"^(\d{4}-\d{2}-\d{2}) +(\d{2}:)"  # what databases and pandas write in place of a T
ZONE = r"(Z|[+-]\d{2}:?\d{2})$"  # at the end of an ISO 8601 time


def utc_instants(texts: pl.Series) -> pl.Series:
    """ISO 8601 texts as microseconds in UTC; null where a text is no such time.

    A time without a zone is UTC; between date and time a space is as good as a T.
    """
    if texts.null_count() == len(texts):
        return texts.cast(c.INSTANT)
    texts = texts.str.replace(SPACE, "${1}T${2}")
    instants = _with_zone(texts)
    if instants.null_count() == texts.null_count():
        return instants
    return instants.fill_null(_with_zone(texts.set(texts.str.contains(ZONE), None) + "Z"))


def _with_zone(texts: pl.Series) -> pl.Series:
    return texts.str.to_datetime("%+", time_unit="us", time_zone="UTC", strict=False)
