"""A frame as a table for people: every row, four digits, no types, no quotes."""

import html
from dataclasses import dataclass
from typing import Any

import polars as pl

__all__ = ["Table", "shown"]

STYLE = "text-align:left;padding:2px 14px 2px 0"


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Shows ``frame`` in a notebook and in its report."""

    frame: pl.DataFrame

    def _repr_html_(self) -> str:
        head = "".join(f'<th style="{STYLE}">{html.escape(n)}</th>' for n in self.frame.columns)
        rows = "".join(
            "<tr>"
            + "".join(f'<td style="{STYLE}">{html.escape(shown(value))}</td>' for value in row)
            + "</tr>"
            for row in self.frame.iter_rows()
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"

    def __repr__(self) -> str:
        """The same as text."""
        with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_hide_column_data_types=True):
            return str(self.frame)


def shown(value: Any) -> str:
    """A value as a table shows it: floats to four digits, nothing for null."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
