"""The dashboard's buttons do what they say, and only after being asked twice."""

from datetime import UTC, datetime

import pytest

from recbench.widgets.live import freshness_dashboard

NEWEST = datetime(2026, 1, 1, 3, tzinfo=UTC)  # the toy release knows all until one o'clock


@pytest.fixture
def dashboard(registry, two_releases):
    return freshness_dashboard(registry, newest=lambda: NEWEST)


def buttons(panel):
    """What can be clicked now, by what is written on it."""
    box = panel.children[0].children[-1]
    again = panel.children[0].children[-2]
    return {x.description: x for x in (*box.children, again) if hasattr(x, "click")}


def said(panel):
    (label,) = [x for x in panel.children[0].children[-1].children if hasattr(x, "placeholder")]
    return label.value


def served(panel):
    return panel.below.value.split("<td")[2].split(">")[1].split("<")[0]


def test_it_shows_what_is_served_and_how_late_it_is(dashboard, two_releases):
    assert served(dashboard) == two_releases[1]
    assert "What is served is 2 h behind the lake" in dashboard.below.value
    assert "not gated" in dashboard.below.value


def test_rolling_back_needs_a_second_click(dashboard, registry, two_releases):
    first, second = two_releases
    buttons(dashboard)["Roll back …"].click()
    assert registry.current() == second
    assert said(dashboard) == f"From {second} back to {first}?"
    buttons(dashboard)["Yes, roll back"].click()
    assert registry.current() == served(dashboard) == first
    assert said(dashboard) == f"{first} is current again."
    assert list(buttons(dashboard)) == ["Roll back …", "Look again"]


def test_no_changes_nothing(dashboard, registry, two_releases):
    buttons(dashboard)["Roll back …"].click()
    buttons(dashboard)["No"].click()
    assert registry.current() == two_releases[1]
    assert said(dashboard) == "Nothing was changed."


def test_what_was_published_meanwhile_is_not_rolled_back(
    dashboard, registry, two_releases, served_toy
):
    buttons(dashboard)["Roll back …"].click()
    third = served_toy.seal(registry, created="2026-01-04T00:00:00+00:00").release.manifest.release
    registry.publish(third)
    buttons(dashboard)["Yes, roll back"].click()
    assert registry.current() == served(dashboard) == third
    assert f"{two_releases[1]} is not current any more, {third} is" in said(dashboard)


def test_the_first_release_has_nothing_before_it(dashboard, registry):
    registry.roll_back()
    buttons(dashboard)["Look again"].click()
    buttons(dashboard)["Roll back …"].click()
    assert said(dashboard) == "There is no release before this one to roll back to."
    assert "Yes, roll back" not in buttons(dashboard)


def test_looking_again_shows_what_happened_elsewhere(dashboard, registry, two_releases):
    buttons(dashboard)["Roll back …"].click()
    registry.roll_back()
    buttons(dashboard)["Look again"].click()
    assert served(dashboard) == two_releases[0]
    assert "Yes, roll back" not in buttons(dashboard)


def test_fewer_releases_are_shown_when_asked(dashboard, two_releases):
    assert two_releases[0] in dashboard.below.value.split("<img")[1]
    dashboard.dials["how_many"].value = 1
    assert two_releases[0] not in dashboard.below.value.split("<img")[1]


def test_an_empty_registry_is_shown_as_such(registry):
    empty = freshness_dashboard(registry)
    assert "nothing yet" in empty.below.value
    buttons(empty)["Roll back …"].click()
    assert said(empty) == "There is no release before this one to roll back to."


def test_its_root_has_a_class_of_its_own(dashboard):
    assert "rb-freshness" in dashboard._dom_classes
