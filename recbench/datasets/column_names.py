"""Which column of a file is which: a file of any names as canonical events.

What was chosen lies beside it: ``X.columns.json`` beside ``X.parquet`` or ``X.events.parquet``.
"""

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import polars as pl

from recbench import columns as c
from recbench.errors import InputError, SchemaError
from recbench.files import write_json
from recbench.tables.instants import utc_instants

__all__ = ["ColumnNames", "id_number", "missing_columns", "names_path", "naming_command"]

TS_AS = "ts_as"  # key of the sidecar beside the names
CANONICAL = (*c.EVENT_DTYPES, c.TITLE)
REQUIRED = (c.USER_ID, c.ITEM_ID, c.TS)
US_PER = {"s": 1_000_000, "ms": 1_000, "us": 1}  # numbers since the epoch; ns are divided
DAYS = "%Y-%m-%d"
FORMATS = (DAYS, "%Y-%m-%d %H:%M", "%Y/%m/%d %H:%M:%S", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M")
KEYS = {c.USER_ID: c.USER_KEY, c.ITEM_ID: c.ITEM_KEY}  # where ids that are texts stay readable
ID_BITS = 53  # what JSON's readers keep exactly
LOOKED_AT = 1_000  # rows that a guess of the time's form is made from
KNOWN_AS = {  # letters and digits only, small
    c.USER_ID: ("userid", "user", "uid", "customerid", "customer", "visitorid", "memberid"),
    c.ITEM_ID: (
        *("itemid", "item", "productid", "product", "sku", "articleid", "article", "asin"),
        *("movieid", "movie", "filmid", "film", "videoid", "video", "trackid", "songid"),
    ),
    c.TS: ("ts", "timestamp", "time", "datetime", "eventtime", "createdat", "when", "date"),
    c.CLICKED: ("clicked", "isclick", "click"),
    c.WATCH_MS: ("watchms",),
    c.CATEGORY: ("category", "genre", "genres"),
    c.TITLE: ("title",),
}


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """Canonical name -> the file's, and how its times are written."""

    columns: Mapping[str, str] = field(default_factory=dict)
    ts_as: str = ""  # s, ms, us, ns since the epoch; a strptime format; "": datetimes or ISO 8601

    def __post_init__(self) -> None:
        """Each name is a canonical one, and each column has one meaning."""
        if unknown := [name for name in self.columns if name not in CANONICAL]:
            raise InputError(f"No column can be called {unknown[0]!r}; there are {[*CANONICAL]}")
        given = list(self.columns.values())
        if twice := [name for name in given if given.count(name) > 1]:
            raise InputError(f"Column {twice[0]!r} cannot be two things: {dict(self.columns)}")
        if self.ts_as not in {"", *US_PER, "ns"} and "%" not in self.ts_as:
            raise InputError(
                f"`{TS_AS}` is s, ms, us or ns since the epoch, or a format such as "
                f"'%d.%m.%Y %H:%M', got {self.ts_as!r}"
            )

    @classmethod
    def beside(cls, data: Path) -> Self | None:
        """What was chosen for the file ``data``; None: nothing."""
        path = names_path(data)
        if not path.exists():
            return None
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
            texts = {name: str(value) for name, value in held.items()}
            return cls({k: v for k, v in texts.items() if k != TS_AS}, texts.get(TS_AS, ""))
        except (ValueError, AttributeError, TypeError) as error:
            raise InputError(f"{path} cannot be used: {error}. Mend or delete it") from error

    @classmethod
    def guessed(
        cls,
        frame: pl.DataFrame,
        *,
        given: Mapping[str, str] | None = None,
        ts_as: str | None = None,
    ) -> Self:
        """By what such columns are often called; what no column is called is left out.

        Args:
            frame: some rows of the file.
            given: names that are known already; their columns are guessed to be nothing else.
            ts_as: how times are written; None: as the first ones look.
        """
        columns = dict(given or {})
        free = [name for name in frame.columns if name not in columns.values()]
        plain = {"".join(filter(str.isalnum, name.lower())): name for name in free}
        for canonical, words in KNOWN_AS.items():
            found = [plain[word] for word in words if word in plain]
            if canonical not in columns and found:
                columns[canonical] = found[0]
        times = [name for name in free if _are_times(frame[name])]
        if c.TS not in columns and len(times) == 1:
            columns[c.TS] = times[0]
        has_times = columns.get(c.TS) in frame.columns
        form = _times_form(frame[columns[c.TS]]) if ts_as is None and has_times else ts_as
        return cls(columns, form or "")

    def write(self, data: Path) -> Path:
        """Keep it beside the file ``data``; returns where."""
        path = names_path(data)
        write_json(path, dict(self.columns) | ({TS_AS: self.ts_as} if self.ts_as else {}))
        return path

    def apply(self, frame: pl.DataFrame, *, source: str) -> pl.DataFrame:
        """The frame under canonical names; all other columns pass, but for such names.

        Ids that are texts become whole numbers of 53 bits, the same for the same text everywhere,
        and stay readable as ``user_key`` and ``item_key``. Times that cannot be read are null.

        Args:
            frame: as the file holds it.
            source: what messages call it.

        Raises:
            SchemaError: a column that was named is not there, or its times are of another form.
        """
        if missing := [name for name in self.columns.values() if name not in frame.columns]:
            raise SchemaError(
                f"{source}: columns {missing} are named and not there; it has {frame.columns}"
            )
        taken = {*self.columns, *self.columns.values()}
        others = [name for name in frame.columns if name not in taken]
        chosen = [pl.col(old).alias(new) for new, old in self.columns.items()]
        named = frame.select(*chosen, *others)
        for name, key in KEYS.items():
            if name in named.columns and _is_text(named[name]):
                named = named.with_columns(pl.col(name).alias(key), _numbered(named[name]))
        if c.TS in named.columns:
            named = named.with_columns(_as_instants(named[c.TS], self.ts_as, source=source))
        return named


def names_path(data: Path) -> Path:
    """Where the names for the file ``data`` are kept."""
    stem = data.name.removesuffix(".parquet").removesuffix(".events")
    return data.with_name(f"{stem}.columns.json")


def missing_columns(data: Path) -> list[str]:
    """The required names that a Parquet file lacks and nobody has named yet; [] of all else."""
    if not data.is_file() or names_path(data).exists():
        return []
    try:
        held = pl.read_parquet_schema(data)
    except (pl.exceptions.PolarsError, OSError):
        return []  # what is no Parquet file is refused where it is read
    return [name for name in REQUIRED if name not in held]


def naming_command(data: Path, names: ColumnNames) -> str:
    """What to type for a file to be read under these names; COLUMN stands for what is missing."""
    options = {"--user": c.USER_ID, "--item": c.ITEM_ID, "--ts": c.TS}
    chosen = {option: names.columns.get(name, "COLUMN") for option, name in options.items()}
    given = [f"{option} {shlex.quote(column)}" for option, column in chosen.items()]
    more = [f"--ts-as {shlex.quote(names.ts_as)}"] if names.ts_as else []
    return " ".join(["recbench data columns", shlex.quote(str(data)), *given, *more])


def id_number(text: str) -> int:
    """What a user or item whose id is a text is called in requests: the same everywhere."""
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> (64 - ID_BITS)


def _is_text(ids: pl.Series) -> bool:
    """Whether these are names rather than numbers written as text."""
    if ids.dtype not in {pl.String, pl.Categorical, pl.Enum}:
        return False
    return ids.cast(pl.String).cast(pl.Int64, strict=False).null_count() > ids.null_count()


def _numbered(ids: pl.Series) -> pl.Series:
    texts = ids.cast(pl.String)
    number = {text: id_number(text) for text in texts.drop_nulls().unique()}
    if len(set(number.values())) < len(number):
        raise SchemaError(f"Two values of `{ids.name}` got the same number: give numbers instead")
    return texts.replace_strict(number, default=None, return_dtype=pl.Int64)


def _are_times(values: pl.Series) -> bool:
    if values.dtype == pl.String and len(some := values.drop_nulls().head(LOOKED_AT)):
        return not utc_instants(some).null_count()
    return isinstance(values.dtype, pl.Datetime | pl.Date)


def _times_form(times: pl.Series) -> str:
    """How the times are written, by the first ones: as ``ts_as``."""
    some = times.drop_nulls().head(LOOKED_AT)
    if times.dtype == pl.Date:
        return DAYS
    if times.dtype.is_numeric() and len(some):
        digits = len(str(abs(int(float(some.max())))))  # type: ignore[arg-type]  # a number
        return "s" if digits <= 11 else "ms" if digits <= 14 else "us" if digits <= 17 else "ns"
    if times.dtype != pl.String or not utc_instants(some).null_count():
        return ""
    fits = (form for form in FORMATS if not _parsed(some, form).null_count())
    return next(fits, "")


def _parsed(texts: pl.Series, form: str) -> pl.Series:
    return texts.str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False)


def _as_instants(times: pl.Series, ts_as: str, *, source: str) -> pl.Series:
    if not ts_as:
        return times
    is_epoch = "%" not in ts_as
    if is_epoch and times.dtype.is_integer():
        exact = times.cast(pl.Int64)
        return (exact // 1_000 if ts_as == "ns" else exact * US_PER[ts_as]).cast(c.INSTANT)
    if is_epoch and times.dtype.is_float():
        scaled = times / 1_000 if ts_as == "ns" else times * US_PER[ts_as]
        return scaled.round().cast(pl.Int64, strict=False).cast(c.INSTANT)
    if not is_epoch and times.dtype == pl.String:
        return _parsed(times, ts_as)
    if times.dtype == pl.Date:  # midnight UTC: whoever named a format has agreed to it
        return times.cast(c.INSTANT)
    raise SchemaError(f"{source}: times are {times.dtype}, which `{TS_AS}` {ts_as!r} does not fit")
