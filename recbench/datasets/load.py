"""Any data set, file or table as an `EventLog`, read from the workspace's lake."""

import difflib
import hashlib
import json
import logging
import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import polars as pl

from recbench import columns as c
from recbench.datasets.catalogue import CATALOGUE
from recbench.datasets.column_names import (
    ColumnNames,
    missing_columns,
    names_path,
    naming_command,
)
from recbench.errors import InputError, SchemaError
from recbench.files import one_at_a_time, sha256_of, write_json
from recbench.tables.lake import LakeTable
from recbench.tables.lake_log import LakeLog
from recbench.tables.log import EventLog, Protocol, as_protocol
from recbench.tables.schema import Checked, check_events, check_items

__all__ = ["in_lake", "lake_name", "load"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Source:
    name: str  # the folder in the lake
    events: Path | None  # None: a data set of the catalogue
    items: Path | None
    protocol: Protocol
    content: str  # changes when the source does


def load(
    data: str | Path,
    *,
    workspace: Path,
    items: str | Path | None = None,
    protocol: str | None = None,
    now: datetime | None = None,
) -> EventLog:
    """The events and items of ``data``, all of them in memory; arguments as for ``in_lake``."""
    return in_lake(data, workspace=workspace, items=items, protocol=protocol, now=now).whole()


def in_lake(
    data: str | Path,
    *,
    workspace: Path,
    items: str | Path | None = None,
    protocol: str | None = None,
    now: datetime | None = None,
) -> LakeLog:
    """The log ``data``, brought into the lake first, to be read from there.

    What is read is exactly what the source holds now: rows that a file gained are appended, a
    file that changed otherwise becomes a new version of the table. A table of the workspace's own
    lake, such as ``recbench ingest`` fills, is read where it is.

    Args:
        data: a name of the catalogue, a Parquet file or a Delta table.
        workspace: the folder that holds ``lake/`` and ``downloads/``.
        items: item features; default: ``X.items.parquet`` beside ``X.events.parquet``.
        protocol: how the log is judged; default: what the catalogue declares, else ``masked``.
        now: events later than a day after it are set aside; default: the clock.

    Raises:
        InputError: no such data set, or a file that cannot be used.
        DownloadError: it is not here and cannot be fetched.
    """
    described = None if items is None else Path(items)
    source = _resolve(str(data), items=described, protocol=protocol)
    if source.events is not None and _is_ours(source.events, workspace):
        return _in_place(source)
    folder = workspace / "lake" / source.name
    state = folder / "source.json"  # which content of the source the table holds, as of a version
    with one_at_a_time(folder):
        held = json.loads(state.read_text()) if state.exists() else {}
        if held.get("source") != source.content:
            now = now or datetime.now(UTC)
            rejected = _append(source, folder, workspace / "downloads", now=now)
            held = {
                "source": source.content,
                "version": LakeTable(folder / "events").version,
                "items_version": LakeTable(folder / "items").version,
                "rejected": rejected,
            }
            write_json(state, held)
    table = LakeTable(folder / "items").read(held["items_version"]).collect()
    return LakeLog(
        source.name,
        source.protocol,
        LakeTable(folder / "events"),
        held["version"],
        table.sort(c.ITEM_ID),
        held["rejected"],
    )


def lake_name(data: str | Path, *, workspace: Path) -> str:
    """What ``in_lake`` calls the log ``data``; nothing is read or fetched.

    Raises:
        InputError: no such data set, file or table.
    """
    source = _resolve(str(data), items=None, protocol=None)
    is_ours = source.events is not None and _is_ours(source.events, workspace)
    return _own_name(cast("Path", source.events)) if is_ours else source.name


def _is_ours(path: Path, workspace: Path) -> bool:
    """Whether the table lies in the workspace's lake."""
    return path.is_dir() and path.resolve().is_relative_to((workspace / "lake").resolve())


def _in_place(source: _Source) -> LakeLog:
    """The table as it is now: its rows were checked when they came in."""
    table = LakeTable(cast("Path", source.events))
    described = pl.DataFrame(schema={c.ITEM_ID: pl.Int64()})
    if source.items is not None:
        described = check_items(_table(source.items), source=str(source.items)).accepted
    version = table.version
    return LakeLog(
        _own_name(table.path), source.protocol, table, version, described.sort(c.ITEM_ID)
    )


def _own_name(path: Path) -> str:
    return path.parent.name if path.name == "events" else path.name


def _resolve(data: str, *, items: Path | None, protocol: str | None) -> _Source:
    path = Path(data).expanduser()
    if data in CATALOGUE:
        if items is not None:
            raise InputError(f"{data!r} brings its own items; leave out `items`, got {items}")
        declared = as_protocol(protocol) if protocol else CATALOGUE[data].protocol
        return _Source(data, None, None, declared, data)
    if not path.exists():
        close = difflib.get_close_matches(data, CATALOGUE, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise InputError(
            f"`data` is neither a data set ({', '.join(CATALOGUE)}) nor a file: {data!r}{hint}"
            f"{_looked_in(path)}"
        )
    stem = path.name.removesuffix(".parquet").removesuffix(".events")
    if items is None and path.name.endswith(".events.parquet"):
        beside = path.with_name(f"{stem}.items.parquet")
        items = beside if beside.exists() else None
    if items is not None and not items.exists():
        raise InputError(f"`items` is not there: {items}")
    place = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    content = hashlib.sha256(_state(path).encode())
    content.update(_state(items).encode() if items is not None else b"")
    content.update(_names_state(path).encode())
    name = f"{re.sub(r'[^A-Za-z0-9_.-]', '_', stem)}-{place}"
    chosen = as_protocol(protocol or "masked")
    return _Source(name, path, items, chosen, content.hexdigest())


def _looked_in(path: Path) -> str:
    return (
        "" if path.is_absolute() else f" in {Path.cwd()}; an absolute path is found from anywhere"
    )


def _state(path: Path) -> str:
    if path.is_dir():
        table = LakeTable(path)
        return f"delta:{table.identity}:{table.version}"
    return sha256_of(path)


def _names_state(path: Path) -> str:
    names = names_path(path)
    return sha256_of(names) if names.exists() else ""


def _append(source: _Source, folder: Path, downloads: Path, *, now: datetime) -> dict[str, int]:
    """Make the table hold what the source holds; safe to repeat. Returns rows set aside."""
    raw_events, raw_items = _raw(source, downloads)
    label = str(source.events or source.name)
    checked = check_events(raw_events, source=label, identity=source.name, now=now)
    item_check = None
    if raw_items is not None:
        item_check = check_items(raw_items, source=str(source.items or f"{label} items"))
    items = _with_every_item(item_check, checked.accepted)
    _set_aside(folder, checked, item_check)
    LakeTable(folder / "items").overwrite(items)
    events = LakeTable(folder / "events")
    new = _gained(events, checked.accepted) if events.exists else checked.accepted
    if new is None:
        logger.warning("%s changed since it was last read: a new version of its table", source.name)
        events.overwrite(checked.accepted)
    elif len(new):
        events.append(new)
    return checked.reasons()


def _gained(table: LakeTable, events: pl.DataFrame) -> pl.DataFrame | None:
    """The rows that ``events`` has more than the table; None if it lacks or changed any."""
    held = table.read().collect()
    if set(held.columns) != set(events.columns):
        return None
    old = events.join(held.select(c.EVENT_ID), on=c.EVENT_ID, how="semi")
    order = [c.EVENT_ID]
    if not old.sort(order).equals(held.select(old.columns).sort(order)):
        return None
    return events.join(held.select(c.EVENT_ID), on=c.EVENT_ID, how="anti")


def _raw(source: _Source, downloads: Path) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    if source.events is None:
        data_set = CATALOGUE[source.name]
        logger.warning("%s. Licence: %s (%s)", data_set.title, data_set.licence, data_set.homepage)
        return data_set.read(*data_set.fetch(downloads))
    events = _named(source.events)
    if source.items is not None:
        return events, _table(source.items)
    return events, _titles(events)


def _named(path: Path) -> pl.DataFrame:
    """The file or table, under the names that were chosen for it."""
    frame = _table(path)
    if names := ColumnNames.beside(path):
        return names.apply(frame, source=str(path))
    if missing := missing_columns(path):
        raise SchemaError(
            f"{path}: column{'s' * (len(missing) > 1)} {missing} missing; it has {frame.columns}. "
            f"Say which is which: {naming_command(path, ColumnNames.guessed(frame))}"
        )
    return frame


def _titles(events: pl.DataFrame) -> pl.DataFrame | None:
    """What the events call their items: a title or a text that was the id; None: nothing."""
    name = next((name for name in (c.TITLE, c.ITEM_KEY) if name in events.columns), None)
    if name is None or c.ITEM_ID not in events.columns:
        return None
    known = events.filter(pl.col(c.ITEM_ID).is_not_null() & pl.col(name).is_not_null())
    titles = known.select(c.ITEM_ID, pl.col(name).cast(pl.String).alias(c.TITLE))
    return titles.unique(c.ITEM_ID, keep="first", maintain_order=True)


def _table(path: Path) -> pl.DataFrame:
    if path.is_dir():
        return LakeTable(path).read().collect()
    try:
        return pl.read_parquet(path)
    except pl.exceptions.ComputeError as error:
        raise InputError(f"{path} is not a Parquet file: {error}") from error


def _with_every_item(checked: Checked | None, events: pl.DataFrame) -> pl.DataFrame:
    """Item features, with a bare row for each item that only the events know."""
    known = (
        checked.accepted if checked is not None else pl.DataFrame(schema={c.ITEM_ID: pl.Int64()})
    )
    missing = events.select(c.ITEM_ID).unique().join(known, on=c.ITEM_ID, how="anti")
    return pl.concat([known, missing], how="diagonal").sort(c.ITEM_ID)


def _set_aside(folder: Path, checked: Checked, item_check: Checked | None) -> None:
    parts = {"rejected": checked, "rejected_items": item_check}
    for name, part in parts.items():
        if part is None or not len(part.rejected):
            shutil.rmtree(folder / name, ignore_errors=True)
            continue
        logger.warning("%s: %s rows set aside: %s", folder.name, len(part.rejected), part.reasons())
        LakeTable(folder / name).overwrite(part.rejected)
