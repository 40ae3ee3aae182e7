import polars as pl

from recbench.widgets.tables import Table


def test_every_row_is_shown_with_four_digits_and_no_quotes():
    frame = pl.DataFrame(
        {"name": [f"row <{n}>" for n in range(30)], "value": [1 / 3] * 29 + [None]}
    )
    shown = Table(frame)._repr_html_()
    assert shown.count("<tr>") == 31
    assert "row &lt;29&gt;" in shown
    assert "0.3333<" in shown
    assert '"row' not in shown
