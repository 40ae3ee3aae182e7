"""The form that says which column is which."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recbench.datasets import ColumnNames
from recbench.widgets.live import column_form

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def sales(tmp_path):
    path = tmp_path / "sales.parquet"
    ts = [START + timedelta(hours=hour) for hour in range(3)]
    pl.DataFrame({"customer": ["a", "b", None], "bought": [5, 6, 5], "sold": ts}).write_parquet(
        path
    )
    return path


@pytest.fixture
def form(sales):
    return column_form(str(sales), now=lambda: START + timedelta(days=1))


def keep(form):
    button, said = form.children[0].children[-2:]
    button.click()
    return said.value


def test_columns_are_guessed_and_what_is_open_is_asked_for(form):
    assert [form.dials[name].value for name in ("user", "item", "ts")] == ["customer", "", "sold"]
    assert "say which column is item_id (what)" in form.below.value
    assert keep(form).startswith("Not kept: sales.parquet: say which column is item_id")


def test_a_chosen_column_shows_the_events_and_what_cannot_be_used(form):
    form.dials["item"].value = "bought"
    assert "<p>2 of the first 3 rows can be used.</p>" in form.below.value
    assert "<p>1 cannot: user_id is null.</p>" in form.below.value
    assert ">user_key</th>" in form.below.value


def test_what_is_kept_is_there_for_everybody_and_for_the_next_form(form, sales):
    form.dials["item"].value = "bought"
    assert keep(form).endswith("sales.columns.json. Now run this page again.")
    chosen = {"user_id": "customer", "item_id": "bought", "ts": "sold"}
    assert ColumnNames.beside(sales) == ColumnNames(chosen)
    assert column_form(str(sales)).dials["item"].value == "bought"


def test_a_form_of_times_that_means_nothing_is_said(form):
    form.dials["item"].value = "bought"
    form.dials["ts_as"].value = "hours"
    assert "got &#x27;hours&#x27;" in form.below.value


@pytest.mark.parametrize("data", ["movielens-100k", "/nowhere.parquet"])
def test_what_is_no_file_needs_no_names(data):
    form = column_form(data)
    assert f"{data} needs no names" in form.below.value
    assert form.dials == {}


def test_canonical_names_need_no_others(tiny_log):
    assert "has the names that are expected" in column_form(str(tiny_log)).below.value
