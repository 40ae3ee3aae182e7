"""Somebody's own file, from the lab's first page to an answer of the service, by that page alone.

What is clicked and typed is what the page says; commands are taken from it word by word.
"""

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import polars as pl
import psutil
import pytest

from recbench import columns as c
from recbench.loopback import free_port
from recbench.refresh import Registry

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
NAME = "00_start.ipynb"
LONG_MS = 300_000
LONG_S = 300
SHORT = " -p max_steps=20 -p precisions=[]"  # so that the test is
TERMINAL = "async () => { await window.jupyterapp.commands.execute('terminal:create-new'); }"
SET_DATA = """async ([name, path, service]) => {
    const panel = window.jupyterapp.shell.currentWidget;
    const cell = panel.content.model.cells.get(2).sharedModel;
    cell.setSource(cell.getSource().replace('"movielens-100k"', JSON.stringify(path))
        .replace('127.0.0.1:8080', service));
    await panel.context.save();
}"""
OPEN = """async name => {
    await window.jupyterapp.commands.execute('docmanager:open', {path: name});
}"""


@pytest.fixture
def own_file(tmp_path, tiny_events):
    """People and products by name, times as databases print them, columns by names of one's own."""
    path = tmp_path / "my shop.parquet"
    tiny_events.select(
        pl.format("customer-{}", c.USER_ID).alias("customer"),
        pl.format("SKU {}", c.ITEM_ID).alias("bought what"),
        pl.col(c.TS).dt.strftime("%Y-%m-%d %H:%M:%S").alias("sold_at"),
    ).write_parquet(path)
    return path


@pytest.fixture
def lab(page, start_lab, tmp_path):
    """The page that the lab opens on, and what a person does there."""
    shutil.copytree(NOTEBOOKS, tmp_path / "notebooks", ignore=shutil.ignore_patterns("LOG.md"))
    address, token = start_lab(tmp_path)
    page.goto(f"{address}/?token={token}")
    return page


@pytest.fixture
def port():
    """A free one; a terminal's command outlives the lab, so who serves there is ended."""
    number = free_port()
    yield number
    for process in psutil.process_iter(["cmdline"]):
        if f"serve --port {number}" in " ".join(process.info["cmdline"] or []):
            process.terminate()
            process.wait(120)


def in_terminal(page, command):
    """Types the command into a new terminal, and comes back to the page."""
    page.evaluate(TERMINAL)
    page.locator(".jp-Terminal:visible .xterm-helper-textarea").wait_for(state="attached")
    page.locator(".jp-Terminal:visible .xterm-screen").click()
    page.keyboard.type(command + "\n")


def until(what):
    """The first true answer of ``what``."""
    deadline = time.monotonic() + LONG_S
    while time.monotonic() < deadline:
        if answer := what():
            return answer
        time.sleep(0.2)
    pytest.fail(f"waited {LONG_S} s")


def runs_that_succeeded(place, notebook):
    """Their folders, the oldest first, once their reports are there."""
    folders = sorted((place / "papermill_runs").glob(f"*-{notebook}-*/manifest.json"))
    held = {path.parent: json.loads(path.read_text()) for path in folders}
    assert [each["error"] for each in held.values() if each["status"] == "failed"] == []
    return [folder for folder in held if (folder / "report.html").exists()]


def next_command(page):
    """What the page says comes next."""
    texts = page.locator(".jp-Notebook .jp-OutputArea-output pre").all_text_contents()
    return next(text.strip() for text in texts if text.startswith("recbench "))


@pytest.mark.long(110)
def test_ones_own_file_is_trained_compared_and_served_by_the_first_page_alone(
    lab, ready, run_all, own_file, port, tmp_path
):
    from playwright.sync_api import expect

    shots = Path(os.environ.get("RECBENCH_ARTIFACTS", tmp_path / "screenshots"))

    def run_the_page():
        lab.evaluate(OPEN, NAME)
        run_all(lab, NAME)
        lab.set_default_timeout(LONG_MS)

    def follow(command, notebook):
        before = len(runs_that_succeeded(tmp_path, notebook))
        in_terminal(lab, command)
        until(lambda: len(runs_that_succeeded(tmp_path, notebook)) > before)
        lab.screenshot(path=shots / f"{notebook}-{before}.png")
        run_the_page()

    # "write its whole path … then Run All Cells"
    ready(lab, NAME)
    lab.evaluate(SET_DATA, [NAME, str(own_file), f"127.0.0.1:{port}"])
    run_the_page()

    # "choose them here, look at the events below, and Keep"
    form = lab.locator(".rb-columns")
    expect(form.locator("select").nth(0)).to_have_value("customer")  # guessed
    expect(form.locator(".rb-shown")).to_contain_text("say which column is item_id (what)")
    form.locator("select").nth(1).select_option("bought what")
    expect(form.locator(".rb-shown")).to_contain_text("2,400 of the first 2,400 rows can be used")
    form.screenshot(path=shots / "columns.png")
    form.get_by_role("button", name="Keep").click()
    expect(form.locator(".rb-said")).to_contain_text("Now run this page again")
    run_the_page()

    follow(next_command(lab), "01_explore_events")
    command = next_command(lab) + SHORT
    follow(command, "03_train_two_tower")
    released = Registry(tmp_path / "workspace" / "registry").current()
    assert released
    judged = lab.locator(".jp-OutputArea-output table", has_text="recency popularity").first
    expect(judged).to_contain_text("two-tower")

    # "put … behind the command of the training": compared with the first
    follow(f"{command} -p encoder=mean -p publish=false", "03_train_two_tower")
    expect(lab.locator(".rb-runs .rb-shown")).to_contain_text("encoder")

    # "`recbench serve` in a terminal … Ask"
    assert next_command(lab) == "recbench serve"
    service = lab.locator(".rb-service")
    expect(service.locator(".rb-shown")).to_contain_text("No service answers at")
    in_terminal(lab, f"recbench serve --port {port}")
    lab.evaluate(OPEN, NAME)
    deadline = time.monotonic() + LONG_S
    while "from release" not in service.locator(".rb-shown").inner_text():
        assert time.monotonic() < deadline
        service.get_by_role("button", name="Ask").click()
        lab.wait_for_timeout(500)
    expect(service.locator(".rb-shown")).to_contain_text("SKU 5")
    service.screenshot(path=shots / "service.png")
    line = service.locator(".rb-shown p").first.inner_text()
    assert re.fullmatch(r"curl -s 127\.0\.0\.1:\d+/recommend -d '\{.*\}'", line)
    answer = json.loads(subprocess.run(line, shell=True, check=True, capture_output=True).stdout)
    assert len(answer["items"]) == 10
    assert answer["release"] == released
    errors = lab.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.error']")
    assert errors.count() == 0
