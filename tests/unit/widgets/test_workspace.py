"""What a workspace holds, and what to do next in it."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recbench.datasets import ColumnNames, in_lake, lake_name
from recbench.errors import InputError
from recbench.jobs.manifest import Manifest as RunManifest
from recbench.refresh import Manifest, Registry
from recbench.widgets.way import way_figure
from recbench.widgets.workspace import (
    Overview,
    lake_tables,
    latest_result,
    newest_event,
    runs_table,
)

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def path(tmp_path):
    """Three clicks, an hour apart."""
    file = tmp_path / "my shop.events.parquet"
    ts = [START + timedelta(hours=hour) for hour in range(3)]
    pl.DataFrame({"user_id": [1, 1, 2], "item_id": [5, 6, 5], "ts": ts}).write_parquet(file)
    return file


@pytest.fixture
def look(path, workspace, tmp_path):
    return lambda: Overview.of(str(path), workspace=workspace, runs=tmp_path / "runs")


@pytest.fixture
def release(path, workspace):
    """Publishes a release of the log that knows all until so many hours after its start."""

    def make(hours, data=None):
        registry = Registry(workspace / "registry")
        manifest = Manifest(
            release="",
            created=(START + timedelta(days=1, hours=hours)).isoformat(),
            data=data or lake_name(path, workspace=workspace),
            protocol="masked",
            watermark=str(START + timedelta(hours=hours)),
            lake_version=0,
            parent=None,
            gate={"verdict": "publish", "reasons": []},
            metrics={},
            settings={},
            parity={},
            code={},
        )
        with registry.draft() as draft:
            (draft / "index.txt").write_text("index")
            registry.publish(registry.seal(draft, manifest).manifest.release)

    return make


def states(overview):
    return overview.steps()["state"].to_list()


def test_an_empty_workspace_says_the_first_command_and_stays_empty(look, path, workspace, drawn):
    overview = look()
    assert states(overview) == ["next", "later", "later", "later"]
    assert overview.next_command() == f"recbench run 01_explore_events -p 'data={path}'"
    assert (overview.version, overview.lag_s, overview.newest) == (None, None, None)
    assert len(overview.tables) == len(overview.runs) == 0
    assert drawn(way_figure(overview)).get_title(loc="left") == "Next: look at the log"
    assert not workspace.exists()


def test_after_the_log_is_read_comes_training(look, path, workspace):
    in_lake(path, workspace=workspace)
    overview = look()
    assert states(overview) == ["done", "next", "later", "later"]
    assert overview.next_command().startswith("recbench run 03_train_two_tower -p ")
    assert overview.version == 0
    assert overview.newest == START + timedelta(hours=2)


def test_a_release_that_is_behind_is_refreshed_next(look, path, workspace, release, drawn):
    in_lake(path, workspace=workspace)
    release(1)
    overview = look()
    assert states(overview) == ["done", "done", "next", "later"]
    assert overview.lag_s == 3600
    title = drawn(way_figure(overview)).get_title(loc="left")
    assert title == "Next: learn from new events (done: look at the log; train, compare, release)"


def test_a_release_that_knows_everything_is_served_next(look, path, workspace, release):
    in_lake(path, workspace=workspace)
    release(2)
    overview = look()
    assert states(overview) == ["done", "done", "done", "next"]
    assert (overview.lag_s, overview.next_command()) == (0, "recbench serve")


def test_a_release_of_another_log_is_not_taken_for_ones_own(look, path, workspace, release):
    in_lake(path, workspace=workspace)
    release(2, data="another")
    overview = look()
    assert states(overview)[1] == "next"
    assert overview.lag_s is None


def test_a_name_of_the_catalogue_stays_a_name(workspace, tmp_path):
    overview = Overview.of("movielens-100k", workspace=workspace, runs=tmp_path)
    assert overview.next_command() == "recbench run 01_explore_events -p data=movielens-100k"


def test_data_that_is_not_there_is_refused(workspace, tmp_path):
    with pytest.raises(InputError, match="'my.parquet'"):
        Overview.of("my.parquet", workspace=workspace, runs=tmp_path)


def test_every_table_of_the_lake_is_told(path, workspace):
    name = in_lake(path, workspace=workspace).name
    assert lake_tables(workspace).rows() == [
        (f"{name}/events", 0, 3, START + timedelta(hours=2)),
        (f"{name}/items", 0, 2, None),
    ]


def test_the_newest_event_is_found_in_tables_that_lie_alone_too(path, workspace):
    log = in_lake(path, workspace=workspace)
    log.table.path.rename(workspace / "lake" / "alone")
    assert newest_event(workspace, "alone") == START + timedelta(hours=2)
    assert newest_event(workspace, "elsewhere") is None


def test_runs_are_told_the_latest_first(tmp_path):
    for second, status in ((1, "succeeded"), (2, "failed")):
        folder = tmp_path / f"2026010{second}T000000Z-03_train-abc"
        folder.mkdir()
        RunManifest(
            run=folder.name,
            notebook="notebooks/03_train.ipynb",
            notebook_sha256="",
            parameters={},
            status=status,
            started_at=f"2026-01-0{second}T00:00:00.5+00:00",
            duration_s=7.5,
        ).write(folder)
    interactive = tmp_path / "20260103T000000Z-interactive-abc"
    interactive.mkdir()
    (interactive / "metrics.json").write_text("{}")
    table = runs_table(tmp_path)
    assert table["status"].to_list() == ["interactive", "failed", "succeeded"]
    assert table.row(1) == (
        "20260102T000000Z-03_train-abc",
        "03_train",
        "failed",
        "2026-01-02 00:00:00 UTC",
        7.5,
    )


@pytest.fixture
def sales(tmp_path):
    """A file whose columns somebody else named."""
    file = tmp_path / "sales.parquet"
    ts = [START + timedelta(hours=hour) for hour in range(3)]
    pl.DataFrame({"customer": [1, 1, 2], "bought": [5, 6, 5], "sold": ts}).write_parquet(file)
    return file


def test_a_file_of_other_names_needs_names_first(sales, workspace, tmp_path):
    overview = Overview.of(str(sales), workspace=workspace, runs=tmp_path / "runs")
    assert overview.steps()["step"][0] == "say which column is which"
    command = f"recbench data columns {sales} --user customer --item COLUMN --ts sold"
    assert overview.next_command() == command


def test_once_named_the_file_is_looked_at(sales, workspace, tmp_path):
    ColumnNames({"user_id": "customer", "item_id": "bought", "ts": "sold"}).write(sales)
    overview = Overview.of(str(sales), workspace=workspace, runs=tmp_path / "runs")
    assert states(overview)[:2] == ["done", "next"]
    assert overview.next_command() == f"recbench run 01_explore_events -p data={sales}"


def test_the_latest_run_that_judged_models_is_told(tmp_path):
    assert latest_result(tmp_path) is None
    for name, value in (("a", 0.1), ("b", 0.2)):
        folder = tmp_path / name / "tables"
        folder.mkdir(parents=True)
        pl.DataFrame({"ndcg": [value]}).write_parquet(folder / "result.parquet")
        (tmp_path / name / "metrics.json").write_text("{}")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "metrics.json").write_text("{}")
    name, table = latest_result(tmp_path)
    assert (name, table.rows()) == ("b", [(0.2,)])
