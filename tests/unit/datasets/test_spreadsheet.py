"""Workbooks as text."""

import io
import zipfile
from datetime import datetime

import polars as pl
import pytest

from recbench.datasets.spreadsheet import from_serial_days, read_sheet
from recbench.errors import InputError

SPACE = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'


def book_of(sheet, shared=None):
    """A workbook of hand-written XML."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(
            "xl/worksheets/sheet1.xml",
            f"<worksheet {SPACE}><sheetData>{sheet}</sheetData></worksheet>",
        )
        if shared is not None:
            archive.writestr("xl/sharedStrings.xml", f"<sst {SPACE}>{shared}</sst>")
    return content.getvalue()


def test_values_are_the_text_that_is_stored(write_workbook):
    sheet = read_sheet(write_workbook(["code", "n"], ["85123A", 6], [71053, 2.5]), name="x")
    assert sheet.schema == {"code": pl.String, "n": pl.String}
    assert sheet.rows() == [("85123A", "6"), ("71053", "2.5")]


def test_a_missing_cell_does_not_shift_the_others(write_workbook):
    sheet = read_sheet(write_workbook(["a", "b", "c"], [None, "x", None], ["y", None, 1]), name="x")
    assert sheet.rows() == [(None, "x", None), ("y", None, "1")]


def test_texts_in_runs_and_texts_in_place_are_read_whole():
    sheet = read_sheet(
        book_of(
            '<row><c r="A1" t="inlineStr"><is><t>title</t></is></c></row>'
            '<row><c r="A2" t="s"><v>0</v></c></row><row><c r="A3" t="str"><v>sum</v></c></row>',
            shared="<si><r><t>red </t></r><r><t>lamp</t></r></si>",
        ),
        name="x",
    )
    assert sheet.rows() == [("red lamp",), ("sum",)]


def test_days_become_times_to_the_second():
    # 40513 is 1 December 2010; 8:26 is 506 of 1,440 minutes: 0.3513888889
    days = pl.DataFrame({"when": ["40513.35138888889", "40513", "soon", None]})
    assert days.select(from_serial_days("when"))["when"].to_list() == [
        datetime(2010, 12, 1, 8, 26),
        datetime(2010, 12, 1),
        None,
        None,
    ]


def test_a_header_alone_is_a_sheet_without_rows(write_workbook):
    assert read_sheet(write_workbook(["a"]), name="x").shape == (0, 1)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"<html>an error page</html>", "shop.xlsx is not an Excel workbook: File is not a zip"),
        (book_of("<row>"), "shop.xlsx is not an Excel workbook: mismatched tag"),
        (book_of(""), "The first sheet of shop.xlsx is empty"),
    ],
)
def test_what_is_no_workbook_is_refused(content, told):
    with pytest.raises(InputError, match=told):
        read_sheet(content, name="shop.xlsx")


def test_a_zip_of_something_else_is_refused():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("readme.txt", "")
    with pytest.raises(InputError, match=r"not an Excel workbook: .*sheet1\.xml"):
        read_sheet(content.getvalue(), name="x")
