"""The cluster panel in the lab: the slider starts a worker, the price changes the cost."""

import json

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]
NAME = "cluster.ipynb"
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
OPEN = """from recbench.cluster.open import open_cluster
from recbench.widgets.live import cluster_panel

opened = open_cluster("local", minimum=1, maximum=1)
client = opened.__enter__()"""
CLOSE = "opened.__exit__(None, None, None)"


@pytest.fixture
def opened(page, start_lab, run_all, tmp_path, write_notebook):
    """A page with the panel of a cluster of one worker, which ends with the notebook's kernel."""
    (tmp_path / "notebooks").mkdir()
    path = tmp_path / "notebooks" / NAME
    write_notebook(path, OPEN, "cluster_panel(client, most=4)")
    content = json.loads(path.read_text())
    content["metadata"]["kernelspec"] = KERNEL  # or the lab asks which one
    path.write_text(json.dumps(content))
    address, token = start_lab(tmp_path)
    page.goto(f"{address}/lab/tree/{NAME}?token={token}")
    run_all(page, NAME)
    page.set_default_timeout(90_000)
    yield page
    page.evaluate(
        "async code => await window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
        ".requestExecute({code}).done",
        CLOSE,
    )


def test_the_slider_holds_the_number_of_workers_and_the_price_sets_the_cost(opened):
    from playwright.sync_api import expect

    panel = opened.locator(".rb-cluster")
    workers = panel.locator(".rb-shown table").nth(1).locator("tbody tr")
    expect(workers).to_have_count(1, timeout=90_000)

    panel.locator(".noUi-handle").focus()
    opened.keyboard.press("ArrowRight")
    expect(panel).to_contain_text("1 workers are there, 2 are asked for: look again.")
    for _ in range(60):
        panel.get_by_role("button", name="Look again").click()
        opened.wait_for_timeout(1000)
        if workers.count() == 2:
            break
    expect(workers).to_have_count(2)

    cost = panel.locator(".rb-shown table").first
    free = cost.inner_text()
    panel.locator("input[type=number]").fill("3600")
    opened.keyboard.press("Enter")
    expect(cost).not_to_have_text(free)
