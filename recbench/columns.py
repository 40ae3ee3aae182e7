"""The canonical column names and dtypes; nowhere else is a column name spelled."""

import polars as pl

EVENT_ID = "event_id"  # unique; the deduplication key
USER_ID = "user_id"  # outside key, never a row number
ITEM_ID = "item_id"  # outside key, never a row number
TS = "ts"  # event time: when it happened
ARRIVAL_TS = "arrival_ts"  # when we knew
CLICKED = "clicked"  # the reward
WATCH_MS = "watch_ms"
CATEGORY = "category"  # "A|B" is a set of two
POSITION = "position"
PROPENSITY = "propensity"  # chance of this item here, given those above; null: placed by rule
REQUEST_ID = "request_id"  # rows shown together carry the same one
SLOT_PROPENSITY = "slot_propensity"  # as propensity, whatever stands above
CONTEXT = "context"  # features that a bandit decided by, float32 in base64
TOWERS = "towers"  # the release whose full fit the towers of a context go on from
PROTECTED = "protected"  # whether a floor under exposure is for this item
FLOOR_KEPT = "floor_kept"  # whether this request's list was made with the floor
FLOOR_CHANCE = "floor_chance"  # of its being made as it was, with the floor or without

PUBLISHED_AT = "published_at"
TITLE = "title"
USER_KEY = "user_key"  # the source's own id, where that is a text
ITEM_KEY = "item_key"
DURATION_MS = "duration_ms"
WATCH_RATIO = "watch_ratio"  # watch_ms / duration_ms

USER_ROW = "user_row"  # contiguous position from a Vocabulary
ITEM_ROW = "item_row"  # contiguous position from a Vocabulary

RANK = "rank"  # 1 is shown first
SCORE = "score"  # higher is better
REASON = "reason"  # why a row was set aside
SOURCE_ROW = "source_row"  # position in the source: orders the events of one instant

KAFKA_PARTITION = "kafka_partition"
KAFKA_OFFSET = "kafka_offset"  # with the partition: where in the topic the row came from
WATERMARK = (
    "watermark"  # of the row's partition just before the row; a row with ts before it is late
)
FEATURES_SERVED = "features_served"  # JSON: feature name -> value, as logged by the server
EXTRA = "extra"  # JSON: fields of the message that have no column
DAY = "day"  # UTC date of ts: what tables of streams are partitioned by

INSTANT = pl.Datetime("us", "UTC")

EVENT_DTYPES: dict[str, pl.DataType] = {
    EVENT_ID: pl.Int64(),  # or String, where the source has string ids
    USER_ID: pl.Int64(),
    ITEM_ID: pl.Int64(),
    TS: INSTANT,
    ARRIVAL_TS: INSTANT,
    CLICKED: pl.Boolean(),
    WATCH_MS: pl.Int64(),
    CATEGORY: pl.String(),
    POSITION: pl.Int16(),
    PROPENSITY: pl.Float64(),
    REQUEST_ID: pl.Int64(),  # or String, where the source has string ids
}

STREAM_DTYPES: dict[str, pl.DataType] = {
    KAFKA_PARTITION: pl.Int32(),
    KAFKA_OFFSET: pl.Int64(),
    WATERMARK: INSTANT,
    FEATURES_SERVED: pl.String(),
    EXTRA: pl.String(),
}

ITEM_DTYPES: dict[str, pl.DataType] = {
    ITEM_ID: pl.Int64(),
    PUBLISHED_AT: INSTANT,
    CATEGORY: pl.String(),
    TITLE: pl.String(),
    DURATION_MS: pl.Int64(),
}

RECOMMENDATION_DTYPES: dict[str, pl.DataType] = {
    USER_ID: pl.Int64(),
    ITEM_ID: pl.Int64(),
    RANK: pl.Int32(),
    SCORE: pl.Float32(),
}
