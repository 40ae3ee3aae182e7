"""A headless Chromium that may talk to this machine only."""

import shutil
from urllib.parse import urlsplit

import pytest

LOCAL = {"127.0.0.1", "localhost"}


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
        browser = driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium):
    """A page; what it asks of any other machine is refused and fails the test at its end."""
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

    context = chromium.new_context()
    context.route("**/*", only_local)
    yield context.new_page()
    context.close()
    assert asked == []
