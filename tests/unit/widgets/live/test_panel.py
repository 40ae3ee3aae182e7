"""The shell around every widget."""

import ipywidgets
import polars as pl

from recbench.errors import InputError
from recbench.widgets.live.panel import Panel
from recbench.widgets.style import new_figure
from recbench.widgets.tables import Table


def shown(n):
    yield f"{n} < 10"
    yield Table(pl.DataFrame({"n": [n]}))
    if n > 5:
        raise InputError(f"{n} is too many & so on")
    yield new_figure(f"{n} is fine")[0]


def panel_of(value):
    return Panel("test", {"n": ipywidgets.IntSlider(value=value, max=9)}, shown)


def test_sentences_tables_and_figures_are_one_piece_of_html():
    value = panel_of(3).below.value
    assert "<p>3 &lt; 10</p>" in value
    assert ">3</td>" in value
    assert '<img class="rb-figure" alt="3 is fine" src="data:image/png;base64,' in value


def test_moving_a_dial_shows_it_again():
    panel = panel_of(3)
    panel.dials["n"].value = 4
    assert 'alt="4 is fine"' in panel.below.value
    assert ">3</td>" not in panel.below.value


def test_what_cannot_be_done_is_said_below_what_could():
    value = panel_of(7).below.value
    assert value.index(">7</td>") < value.index("<p>7 is too many &amp; so on</p>")
    assert "<img" not in value


def test_a_report_reads_what_was_last_shown():
    panel = panel_of(3)
    panel.dials["n"].value = 4
    bundle = panel._repr_mimebundle_()
    assert panel.below.value in bundle["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in bundle
