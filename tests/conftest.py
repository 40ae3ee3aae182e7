"""Fixtures that tests of several folders share."""

import importlib.util
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import settings

from recbench import columns as c
from recbench.refresh import Registry

settings.register_profile("at any pace", deadline=None)  # a busy machine is no failure
settings.load_profile("at any pace")

N_USERS, N_ITEMS, N_EVENTS = 60, 40, 2400


@pytest.hookimpl(trylast=True)  # of those that are left by `-m`
def pytest_collection_modifyitems(items):
    """Each process begins with its part of the longest tests, and steals what others leave."""

    def seconds(item):
        mark = item.get_closest_marker("long")
        return mark.args[0] if mark else 0

    n_processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    longest = sorted(filter(seconds, items), key=seconds, reverse=True)
    others = [item for item in items if not seconds(item)]
    ordered = []
    for process in range(n_processes):  # as `--dist worksteal` deals them out
        share = (len(items) - len(ordered)) // (n_processes - process)
        own = longest[process::n_processes]
        n_others = max(0, share - len(own))
        ordered += own + others[:n_others]
        others = others[n_others:]
    items[:] = ordered + others


@pytest.fixture(scope="session")
def write_notebook():
    """Writes a notebook: a title, a parameters cell, then one prose cell before each code cell."""
    import nbformat

    def write(path, *codes, parameters="k = 3  # list length"):
        v4 = nbformat.v4
        cells = [
            v4.new_markdown_cell("# A title"),
            v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
        ]
        for code in codes:
            cells += [v4.new_markdown_cell("Some prose."), v4.new_code_cell(code)]
        nbformat.write(v4.new_notebook(cells=cells), path)
        return path

    return write


@pytest.fixture(scope="session")
def tiny_log(tmp_path_factory):
    """Clicks of 60 users on 40 items over 40 days; each user keeps to half of the items."""
    rng = np.random.default_rng(0)
    users = rng.integers(N_USERS, size=N_EVENTS)
    items = rng.integers(N_ITEMS // 2, size=N_EVENTS) * 2 + users % 2
    minutes = np.sort(rng.choice(40 * 24 * 60, size=N_EVENTS, replace=False))
    start = datetime(2026, 1, 1, tzinfo=UTC)
    path = tmp_path_factory.mktemp("tiny") / "tiny.events.parquet"
    pl.DataFrame(
        {
            c.USER_ID: users + 1000,
            c.ITEM_ID: items + 5000,
            c.TS: [start + timedelta(minutes=int(minute)) for minute in minutes],
        }
    ).write_parquet(path)
    return path


@pytest.fixture(scope="session")
def tiny_events(tiny_log):
    """The same clicks, canonical, with categories and watch times."""
    raw = pl.read_parquet(tiny_log).with_row_index(c.EVENT_ID)
    item = pl.col(c.ITEM_ID)
    return raw.with_columns(
        pl.col(c.EVENT_ID).cast(pl.Int64),
        pl.col(c.TS).cast(c.INSTANT),
        pl.lit(True).alias(c.CLICKED),
        pl.when(item % 3 == 0)
        .then(pl.lit("drama|war"))
        .otherwise(pl.lit("comedy"))
        .alias(c.CATEGORY),
        (item % 7 * 1000).alias(c.WATCH_MS),
    )


@pytest.fixture(scope="session")
def tiny_items(tiny_events):
    """One row an item, with category and title."""
    items = tiny_events.select(c.ITEM_ID, c.CATEGORY).unique().sort(c.ITEM_ID)
    return items.with_columns(pl.format("Film number {}", c.ITEM_ID).alias(c.TITLE))


@pytest.fixture(scope="session")
def naive_features():
    """The reference for every engine of features: `parity/naive_features.py` says what it takes."""
    return _module("parity/naive_features.py").naive_features


@pytest.fixture(scope="session")
def stand_in_nvml():
    """Makes a stand-in for pynvml: `stand_in_nvml.py` says what it takes."""
    return _module("stand_in_nvml.py").stand_in_nvml


@pytest.fixture(scope="session")
def served_toy():
    """The module `served_toy.py`: a release to work out by hand, and a service that serves it."""
    return _module("served_toy.py")


@pytest.fixture
def serve(served_toy, tmp_path):
    """Starts a service on the workspace `tmp_path`, whose registry is given a toy release."""
    running = []

    def start(*options, release=True, **more):
        if release:
            registry = Registry(tmp_path / "registry")
            registry.publish(served_toy.seal(registry).release.manifest.release)
        running.append(served_toy.RunningService(tmp_path, *options, **more))
        return running[-1].until_ready() if release else running[-1]

    yield start
    for service in running:
        service.stop()


@pytest.fixture
def workspace(tmp_path):
    """The folder that holds lake, downloads and registry; made by its first use."""
    return tmp_path / "workspace"


def _module(name):
    path = Path(__file__).parent / name
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
