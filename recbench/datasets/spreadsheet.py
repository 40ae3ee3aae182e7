"""The first sheet of an Excel workbook as text.

One data set comes as a workbook; these few lines spare everybody a spreadsheet library.
"""

import io
import re
import zipfile
from collections.abc import Iterator
from typing import IO
from xml.etree import ElementTree

import polars as pl

from recbench.errors import InputError

__all__ = ["from_serial_days", "read_sheet"]

SPACE = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
FIRST_SHEET = "xl/worksheets/sheet1.xml"
SHARED_TEXTS = "xl/sharedStrings.xml"
EPOCH = pl.datetime(1899, 12, 30, time_unit="us")  # day 0 of Excel's calendar from 1 March 1900 on
DAY_S = 86_400


def read_sheet(content: bytes, *, name: str) -> pl.DataFrame:
    """The rows below the header, every value as the text that is stored, empty cells as null.

    Times are stored as days: see ``from_serial_days``.

    Args:
        content: an .xlsx file.
        name: what it is called in errors.

    Raises:
        InputError: it is no workbook, or its first sheet is empty.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as book:
            shared = _shared_texts(book)
            with book.open(FIRST_SHEET) as stream:
                rows = list(_rows(stream, shared))
    except (zipfile.BadZipFile, KeyError, ElementTree.ParseError) as error:
        raise InputError(f"{name} is not an Excel workbook: {error}") from error
    if not rows:
        raise InputError(f"The first sheet of {name} is empty")
    header = rows[0]
    schema = [(str(title), pl.String()) for title in header.values()]
    cells = [tuple(row.get(column) for column in header) for row in rows[1:]]
    return pl.DataFrame(cells, schema=schema, orient="row")


def from_serial_days(column: str) -> pl.Expr:
    """Excel's count of days as a naive time, to the second; null where it is no number."""
    seconds = (pl.col(column).cast(pl.Float64, strict=False) * DAY_S).round().cast(pl.Int64)
    return (EPOCH + pl.duration(seconds=seconds)).alias(column)


def _shared_texts(book: zipfile.ZipFile) -> list[str]:
    """The texts that cells refer to by number; a text may be cut into runs of one format."""
    if SHARED_TEXTS not in book.namelist():
        return []
    with book.open(SHARED_TEXTS) as stream:
        return [_text(entry) for entry in _elements(stream, "si")]


def _rows(stream: IO[bytes], shared: list[str]) -> Iterator[dict[str, str | None]]:
    """Each row's values by the letters of their column."""
    for row in _elements(stream, "row"):
        yield {
            re.sub(r"\d", "", cell.get("r", "")): _value(cell, shared)
            for cell in row.iterfind(f"{SPACE}c")
        }


def _value(cell: ElementTree.Element, shared: list[str]) -> str | None:
    if cell.get("t") == "inlineStr":
        return _text(cell)
    stored = cell.findtext(f"{SPACE}v")
    return shared[int(stored)] if stored is not None and cell.get("t") == "s" else stored


def _text(element: ElementTree.Element) -> str:
    return "".join(part.text or "" for part in element.iter(f"{SPACE}t"))


def _elements(stream: IO[bytes], tag: str) -> Iterator[ElementTree.Element]:
    """Elements as they are complete; each is emptied afterwards, so that memory stays small."""
    for _, element in ElementTree.iterparse(stream):
        if element.tag == SPACE + tag:
            yield element
            element.clear()
