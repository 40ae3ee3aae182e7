"""What tests of data sets share."""

import io
import zipfile
from xml.sax.saxutils import escape

import pytest

from recbench.datasets.world.settings import WorldSettings
from recbench.datasets.world.truth import World

SPACE = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'


@pytest.fixture(scope="session")
def small_world():
    """A day of a hundred users, a hundred and twenty items alive."""
    return World.drawn(WorldSettings(days=1.0, n_users=100, n_live=120), seed=3)


@pytest.fixture(scope="session")
def write_workbook():
    """Makes the bytes of an .xlsx file; texts are shared, as in Excel, and None is no cell."""

    def write(*rows):
        texts = sorted({value for row in rows for value in row if isinstance(value, str)})
        cells = [
            "".join(_cell(f"{chr(65 + at)}{n}", value, texts) for at, value in enumerate(row))
            for n, row in enumerate(rows, start=1)
        ]
        sheet = "".join(f'<row r="{n}">{row}</row>' for n, row in enumerate(cells, start=1))
        entries = "".join(f"<si><t>{escape(text)}</t></si>" for text in texts)
        book = io.BytesIO()
        with zipfile.ZipFile(book, "w") as archive:
            archive.writestr(
                "xl/worksheets/sheet1.xml",
                f"<worksheet {SPACE}><sheetData>{sheet}</sheetData></worksheet>",
            )
            archive.writestr("xl/sharedStrings.xml", f"<sst {SPACE}>{entries}</sst>")
        return book.getvalue()

    return write


def _cell(place, value, texts):
    if value is None:
        return ""
    if isinstance(value, str):
        return f'<c r="{place}" t="s"><v>{texts.index(value)}</v></c>'
    return f'<c r="{place}"><v>{value!r}</v></c>'
