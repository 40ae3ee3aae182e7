"""Every frame that Polars reads can be held by a Delta table."""

from datetime import UTC, datetime, time, timedelta

import polars as pl
import pytest

from recbench.errors import SchemaError
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
        (pl.Float16, 1.5, 1.5),
        (pl.List(pl.Int64), [1, 2], [1, 2]),
        (pl.List(pl.UInt64), [1, 2**64 - 1], ["1", "18446744073709551615"]),
        (pl.List(pl.Duration("ms")), [timedelta(seconds=1)], [1_000_000]),
        (pl.List(pl.Null), [None], [None]),
        (pl.Array(pl.UInt8, (2, 1)), [[1], [2]], [[1], [2]]),
        (
            pl.Struct({"kind": pl.Categorical(), "n": pl.UInt32()}),
            {"kind": "tv", "n": 2**32 - 1},
            {"kind": "tv", "n": 2**32 - 1},
        ),
    ],
)
def test_a_value_of_any_type_survives_the_lake(tmp_path, dtype, value, stored):
    frame = storable(pl.DataFrame({"x": pl.Series([value], dtype=dtype)}))
    LakeTable(tmp_path / "table").append(frame)
    held = LakeTable(tmp_path / "table").read().collect()
    assert held["x"].to_list() == [stored]
    assert held.schema == frame.schema


def test_names_that_differ_by_case_only_are_refused():
    frame = pl.DataFrame({"Price": [1], "other": [2], "price": [3]})
    with pytest.raises(SchemaError, match=r"\['Price', 'price'\] differ by upper and lower"):
        storable(frame)


def test_instants_of_another_zone_become_utc():
    tokyo = pl.Series([NOON]).dt.convert_time_zone("Asia/Tokyo")
    assert storable(tokyo.to_frame("x")).schema == {"x": pl.Datetime("us", "UTC")}
    assert storable(tokyo.to_frame("x"))["x"].to_list() == [NOON]
