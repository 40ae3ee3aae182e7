"""A headless Chromium that may talk to this machine only, and JupyterLab as `recbench lab` does."""

import io
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from recbench.loopback import free_port

LOCAL = {"127.0.0.1", "localhost"}
START_S = 120
EXPECT_MS = 60_000  # what a kernel is asked comes back; a busy machine is slow
RUN_ALL_MS = 180_000

READY = """name => {
    const app = window.jupyterapp, widget = app?.shell.currentWidget;
    return widget?.context?.path === name && widget.context.isReady
        && widget.sessionContext.isReady && app.commands.hasCommand('notebook:run-all-cells');
}"""
RUN_ALL = """async () => {
    await window.jupyterapp.commands.execute('notebook:run-all-cells');
    await window.jupyterapp.shell.currentWidget.context.save();
}"""
THEME = """async name => {
    await window.jupyterapp.commands.execute('apputils:change-theme', {theme: name});
}"""
# [text, its colour, the colour behind it] of all that outputs say, and the colour behind a figure
COLOURS = """() => {
    const parts = colour => colour.match(/[0-9.]+/g).map(Number);
    const behind = element => {
        for (let at = element; at; at = at.parentElement) {
            const [r, g, b, alpha = 1] = parts(getComputedStyle(at).backgroundColor);
            if (alpha === 1) return [r, g, b];
        }
        return [255, 255, 255];
    };
    const written = element => element.matches('input, select') ? element.value
        : [...element.childNodes].filter(node => node.nodeType === Node.TEXT_NODE)
            .map(node => node.data).join('').trim();
    const texts = [...document.querySelectorAll('.jp-OutputArea-output *')]
        .filter(each => each.checkVisibility() && !each.matches('style, option') && written(each))
        .map(each => [
            written(each), parts(getComputedStyle(each).color).slice(0, 3), behind(each)
        ]);
    return [texts, behind(document.querySelector('.rb-figure'))];
}"""
LEAST_CONTRAST = 4.5  # WCAG 2, level AA
SAME = 8  # of 255: how far a figure's background may be from the page's


@pytest.fixture(scope="session")
def chromium():
    """The browser; tests are skipped, saying so, where there is none."""
    playwright = pytest.importorskip(
        "playwright.sync_api",
        reason="needs the package playwright, which `make check-all` installs",
    )
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("needs chromium on the path (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        playwright.expect.set_options(timeout=EXPECT_MS)
        browser = driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium, request):
    """A page; what it asks of any other machine is refused and fails the test at its end.

    How it looked then is kept below RECBENCH_ARTIFACTS, if that is set.
    """
    asked = []

    def only_local(route):
        address = route.request.url
        if (
            urlsplit(address).scheme in {"http", "https"}
            and urlsplit(address).hostname not in LOCAL
        ):
            asked.append(address)
            route.abort()
        else:
            route.continue_()

    # high enough for a whole widget on its screenshot
    context = chromium.new_context(viewport={"width": 1280, "height": 1800})
    context.route("**/*", only_local)
    opened = context.new_page()
    opened.set_default_timeout(EXPECT_MS)
    yield opened
    if artifacts := os.environ.get("RECBENCH_ARTIFACTS"):
        opened.screenshot(path=Path(artifacts) / f"{request.node.name}.png", full_page=True)
    context.close()
    assert asked == []


@pytest.fixture
def start_lab():
    """Starts a server in a folder that holds `notebooks/`; gives its address and its token."""
    servers = []

    def start(place):
        config = place / "config"
        config.mkdir()
        (config / "jupyter_lab_config.py").write_text("c.LabApp.expose_app_in_browser = True\n")
        port, token = free_port(), secrets.token_hex(16)
        environment = os.environ | {
            "HOME": str(place),
            "JUPYTER_CONFIG_DIR": str(config),
            "JUPYTER_DATA_DIR": str(place / "data"),
            "JUPYTER_RUNTIME_DIR": str(place / "runtime"),
            "JUPYTER_TOKEN": token,
            "RECBENCH_TRACKING": "off",
        }
        command = "from recbench.cli import main; main()"
        with (place / "server.log").open("w") as log:
            servers.append(
                subprocess.Popen(
                    [sys.executable, "-c", command, "lab", "--no-browser", "--port", str(port)],
                    cwd=place,
                    env=environment,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )
        address = f"http://127.0.0.1:{port}"
        wait_until_it_answers(f"{address}/lab?token={token}", servers[-1])
        return address, token

    yield start
    for server in servers:
        server.terminate()
        server.wait(120)


@pytest.fixture
def ready():
    """Waits until the notebook that the page is opening can be run."""
    return lambda page, name: page.wait_for_function(READY, arg=name, timeout=START_S * 1000)


@pytest.fixture
def run_all(ready):
    """Runs every cell of the notebook that the page is opening, and saves it."""

    def run(page, name):
        ready(page, name)
        page.set_default_timeout(RUN_ALL_MS)
        page.evaluate(RUN_ALL)

    return run


def wait_until_it_answers(address, server):
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert server.poll() is None, "the server ended"
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    pytest.fail(f"no answer from {address} in {START_S} s")


@pytest.fixture
def require_readable():
    """In either theme, all that outputs say can be read, and figures are as dark as the page."""

    def check(page):
        for theme, is_light in (("JupyterLab Dark", False), ("JupyterLab Light", True)):
            page.evaluate(THEME, theme)
            page.wait_for_function(
                f"document.body.dataset.jpThemeLight === '{str(is_light).lower()}'"
            )
            # a change of theme shows the lab's splash, which fades over what is to be looked at
            page.locator("#jupyterlab-splash").wait_for(state="detached")
            texts, page_colour = page.evaluate(COLOURS)
            assert texts, "nothing is written there"
            found = {text: round(contrast(one, other), 2) for text, one, other in texts}
            assert {text: ratio for text, ratio in found.items() if ratio < LEAST_CONTRAST} == {}
            figure = Image.open(io.BytesIO(at_rest(page.locator(".rb-figure").first)))
            pixels = np.asarray(figure.convert("RGB")).astype(int)
            background, written = pixels[3, 3], np.unique(pixels.reshape(-1, 3), axis=0)
            assert np.abs(background - page_colour).max() <= SAME, "a box of another colour"
            assert max(contrast(each, background) for each in written) >= LEAST_CONTRAST

    return check


def at_rest(shown):
    """A picture of it, once it looks the same twice.

    The lab makes cells as they come into view; those above then push down what was scrolled to.
    """
    before = None
    for _ in range(60):
        picture = shown.screenshot()
        if picture == before:
            return picture
        before = picture
        time.sleep(0.3)
    pytest.fail("it looks different again and again")


def contrast(one, other):
    """WCAG 2's, from 1 to 21, of two colours of three bytes."""
    lights = []
    for colour in (one, other):
        parts = np.asarray(colour) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        lights.append(float(linear @ [0.2126, 0.7152, 0.0722]))
    return (max(lights) + 0.05) / (min(lights) + 0.05)
