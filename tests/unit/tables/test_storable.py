"""Every frame that Polars reads can be held by a Delta table."""

from datetime import UTC, datetime, time, timedelta

import polars as pl
import pytest

from recbench.tables.lake import LakeTable
from recbench.tables.storable import storable

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("dtype", "value", "stored"),
    [
        (pl.Null, None, None),
        (pl.Categorical, "tv", "tv"),
        (pl.Enum(["tv"]), "tv", "tv"),
        (pl.UInt8, 255, 255),
        (pl.UInt16, 2**16 - 1, 2**16 - 1),
        (pl.UInt32, 2**32 - 1, 2**32 - 1),
        (pl.UInt64, 2**63 - 1, 2**63 - 1),
        (pl.UInt64, 2**64 - 1, "18446744073709551615"),
        (pl.Int128, 2**100, str(2**100)),
        (pl.Duration("ms"), timedelta(milliseconds=1), 1000),
        (pl.Time, time(12, 30), "12:30:00"),
        (pl.Datetime("ns", "UTC"), NOON, NOON),
        (pl.Datetime("ms"), NOON.replace(tzinfo=None), NOON.replace(tzinfo=None)),
        (pl.String, "as it is", "as it is"),
        (pl.List(pl.Int64), [1, 2], [1, 2]),
    ],
)
def test_a_value_of_any_type_survives_the_lake(tmp_path, dtype, value, stored):
    frame = storable(pl.DataFrame({"x": pl.Series([value], dtype=dtype)}))
    LakeTable(tmp_path / "table").append(frame)
    held = LakeTable(tmp_path / "table").read().collect()
    assert held["x"].to_list() == [stored]
    assert held.schema == frame.schema


def test_instants_of_another_zone_become_utc():
    tokyo = pl.Series([NOON]).dt.convert_time_zone("Asia/Tokyo")
    assert storable(tokyo.to_frame("x")).schema == {"x": pl.Datetime("us", "UTC")}
    assert storable(tokyo.to_frame("x"))["x"].to_list() == [NOON]
