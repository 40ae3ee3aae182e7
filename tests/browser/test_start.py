"""The first page of the lab: it runs, and its widgets do what is clicked."""

import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recbench.jobs.schedules.schedule import Schedule
from recbench.jobs.schedules.store import ScheduleStore
from recbench.jobs.schedules.times import Every
from recbench.refresh import Registry

pytestmark = [pytest.mark.browser, pytest.mark.slow]
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
NAME = "00_start.ipynb"
LONG_MS = 60_000


@pytest.fixture
def releases(tmp_path, served_toy):
    """The ids of two releases of the toy in the workspace; the later one is current."""
    registry = Registry(tmp_path / "workspace" / "registry")
    ids = []
    for day, popularity in ((2, [0.5, 0.25, 2.0, 1.0]), (3, [3.0, 0.25, 2.0, 1.0])):
        created = f"2026-01-0{day}T00:00:00+00:00"
        toy = served_toy.seal(registry, created=created, popularity=popularity)
        ids.append(registry.publish(toy.release.manifest.release).manifest.release)
    return ids


@pytest.fixture
def opened(page, start_lab, run_all, tmp_path, releases):
    """The page that the lab opens on, all of its cells run."""
    (tmp_path / "notebooks").mkdir()
    shutil.copy(NOTEBOOKS / NAME, tmp_path / "notebooks" / NAME)
    address, token = start_lab(tmp_path)
    page.goto(f"{address}/?token={token}")
    run_all(page, NAME)
    page.set_default_timeout(LONG_MS)
    yield page
    folder = tmp_path / "screenshots"
    for name in ("explorer", "freshness"):
        page.locator(f".rb-{name}").screenshot(path=folder / f"{name}.png")


def listed(explorer, number=0):
    """The item ids of one of the explorer's tables."""
    table = explorer.locator(".rb-shown table").nth(number)
    table.locator("tbody tr").first.wait_for()  # its cells come with it
    rows = table.locator("tbody tr").all()
    column = 1 if number == 0 else 0
    return [row.locator("td").nth(column).text_content() for row in rows]


def hourly(place):
    """A schedule as `recbench schedule add` makes it."""
    return Schedule(
        name="refresh",
        notebook="05_incremental_refresh.ipynb",
        times=Every(3600),
        directory=str(place),
        runs=str(place / "runs"),
        created_at=datetime.now(UTC),
    )


def test_the_widgets_of_the_first_page_do_what_is_clicked(
    opened, tmp_path, releases, require_readable
):
    from playwright.sync_api import expect

    first, second = releases
    registry = Registry(tmp_path / "workspace" / "registry")
    errors = opened.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.error']")
    assert errors.count() == 0
    assert opened.locator("h1", has_text="what is here, and what comes next").is_visible()

    explorer = opened.locator(".rb-explorer")
    expect(explorer).to_have_count(1)
    # user 2 clicked 30, which pulls (1, 1, 0, 9) on items 10, 20, 30, 40
    assert listed(explorer) == ["40", "10", "20"]
    picture = explorer.locator(".rb-shown img").get_attribute("src")
    # after 10, too, it is (1, 6, 1, 11), and 10 was seen
    click = explorer.get_by_placeholder("item", exact=True)
    click.fill("10 Ten")
    click.press("Enter")
    expect(explorer.locator(".rb-shown")).to_contain_text("After a click on 10 just now:")
    assert listed(explorer) == ["40", "20"]
    assert listed(explorer, 1) == ["40", "20", "10"]
    assert explorer.locator(".rb-shown img").get_attribute("src") != picture
    chance = explorer.get_by_placeholder("nothing; or: slots=1,pool=100")
    chance.fill("slots=1,pool=2")
    chance.press("Enter")
    expect(explorer.locator(".rb-shown")).to_contain_text("Nothing is left to chance here")
    explorer.locator("select").nth(1).select_option(first)
    expect(explorer.locator(".rb-shown")).to_contain_text(f"From {first} to {second}:")

    expect(opened.locator(".rb-schedules .rb-shown")).to_contain_text("There are no schedules")
    schedules = ScheduleStore.of(tmp_path / "workspace")
    schedules.add(hourly(tmp_path))
    opened.locator(".rb-schedules").get_by_role("button", name="Look again").click()
    expect(opened.locator(".rb-schedules .rb-shown td").first).to_have_text("refresh")

    dashboard = opened.locator(".rb-freshness")
    served = dashboard.locator(".rb-shown td").nth(1)
    expect(served).to_have_text(second)
    dashboard.get_by_role("button", name=re.compile("Roll back")).click()
    expect(dashboard.locator(".rb-said")).to_have_text(f"From {second} back to {first}?")
    assert registry.current() == second
    dashboard.get_by_role("button", name="Yes, roll back").click()
    expect(served).to_have_text(first)
    assert registry.current() == first

    require_readable(opened)
