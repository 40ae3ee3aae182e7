"""The explorer's dials change what it shows, as a person would move them."""

import re

import pytest

from recbench.widgets.live import recommendation_explorer


@pytest.fixture
def explorer(registry, two_releases):
    return recommendation_explorer(registry, k=4)


def table_of(panel, number=0):
    """One of the tables shown, a list a row."""
    found = re.findall(r"<table>.*?</table>", panel.below.value, re.DOTALL)[number]
    rows = re.findall(r"<tr>(.*?)</tr>", found)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]


def items_of(panel, number=0):
    header, *rows = table_of(panel, number)
    return [row[header.index("item_id")] for row in rows]


def test_it_opens_on_the_user_who_clicked_last(explorer):
    # user 2 clicked 30, which pulls (1, 1, 0, 9)
    assert explorer.dials["user"].value == "2"
    assert items_of(explorer) == ["40", "10", "20"]
    assert "1 clicks known to release" in explorer.below.value
    assert "Nothing in the list is left to chance" in explorer.below.value
    assert "the latest at 2026-01-01 01:00:00 UTC" in explorer.below.value


def test_another_user_gets_another_list(explorer):
    explorer.dials["user"].value = "1"
    assert items_of(explorer) == ["30", "40"]


def test_somebody_unknown_gets_recency_popularity(explorer):
    explorer.dials["user"].value = "99"
    assert items_of(explorer) == ["10", "30", "40", "20"]
    assert "Nobody known" in explorer.below.value


def test_a_composed_history_goes_before_the_user(explorer):
    explorer.dials["history"].value = "10, 20"
    assert items_of(explorer) == ["30", "40"]
    explorer.dials["history"].value = ""
    assert items_of(explorer) == ["40", "10", "20"]


def test_a_click_that_is_added_is_told_with_what_it_changes(explorer):
    explorer.dials["click"].value = "10 Ten"
    # 30 and 10 pull (1, 1, 0, 9) + (0, 5, 1, 2) = (1, 6, 1, 11)
    assert items_of(explorer) == ["40", "20"]
    assert "After a click on 10 just now:" in explorer.below.value
    assert table_of(explorer, 1)[1:] == [
        ["40", "", "1", "1", "same"],
        ["20", "", "3", "2", "up 1"],
        ["10", "Ten", "2", "", "gone"],
    ]


def test_two_releases_are_compared_for_the_same_person(explorer, two_releases):
    explorer.dials["user"].value = "99"
    explorer.dials["beside"].value = two_releases[0]
    assert f"From {two_releases[0]} to {two_releases[1]}:" in explorer.below.value
    assert [row[-1] for row in table_of(explorer, 1)[1:]] == ["up 2", "down 1", "down 1", "same"]


def test_the_older_release_can_be_looked_at(explorer, two_releases):
    explorer.dials["user"].value = "99"
    explorer.dials["release"].value = two_releases[0]
    assert items_of(explorer) == ["30", "40", "10", "20"]


def test_the_list_is_as_long_as_asked(explorer):
    explorer.dials["k"].value = 1
    assert items_of(explorer) == ["40"]


def test_slots_that_a_service_would_leave_to_chance_are_told(explorer):
    explorer.dials["user"].value = "99"
    explorer.dials["k"].value = 2
    explorer.dials["chance"].value = "slots=1,pool=2,even=1"
    assert "In 10 % of requests chance fills slot 2 from 2 items" in explorer.below.value
    header, *rows = table_of(explorer, 1)
    assert [row[header.index("filled by")] for row in rows] == ["rule", "chance"]
    explorer.dials["chance"].value = ""
    assert "Nothing in the list is left to chance, unless" in explorer.below.value


@pytest.mark.parametrize(
    ("dial", "value", "message"),
    [
        ("user", "who?", "A whole number is needed for the user, got &#x27;who?&#x27;"),
        ("user", "", "A whole number is needed for the user"),
        ("click", "77", "Item 77 is not among the release&#x27;s 4 items"),
        ("chance", "slot=1", "Exploration is NAME=NUMBER of traffic, slots"),
        ("history", "10, ten", "A whole number is needed for the item, got &#x27; ten&#x27;"),
    ],
)
def test_what_cannot_be_used_is_said_where_the_list_was(explorer, dial, value, message):
    explorer.dials[dial].value = value
    assert message in explorer.below.value
    assert ("<table>" in explorer.below.value) == (dial == "chance")  # the list stays


def test_the_picture_changes_with_the_list(explorer):
    before = re.search(r'src="(data:image/png;base64,[^"]+)"', explorer.below.value)[1]
    explorer.dials["user"].value = "1"
    assert before not in explorer.below.value
    assert 'alt="Recency popularity alone would list' in explorer.below.value


def test_where_no_widget_lives_its_picture_and_tables_are_read(explorer):
    bundle = explorer._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert explorer.below.value in bundle["text/html"]
    assert 'src="data:image/png;base64,' in bundle["text/html"]


def test_what_is_offered_can_be_chosen(explorer):
    assert explorer.dials["user"].options == ("2", "1")
    assert explorer.dials["click"].options == ("10 Ten", "20", "30", "40")
    assert "rb-explorer" in explorer._dom_classes


def test_without_a_release_the_next_command_is_told(registry):
    empty = recommendation_explorer(registry)
    assert "make one by `recbench run 03_train_two_tower`" in empty.below.value
    assert empty.dials == {}


def test_a_damaged_release_is_told_as_such(registry, two_releases):
    (registry.path / two_releases[1] / "items.parquet").write_bytes(b"")
    damaged = recommendation_explorer(registry)
    assert "its checksum differs" in damaged.below.value
