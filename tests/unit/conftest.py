"""A tiny study that tests of models, training, export and jobs share."""

import shutil
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest

TINY_STEPS = 30


@pytest.fixture(scope="session")
def tiny_data(tiny_events, tiny_items):
    from recbench.tables.log import EventLog

    return EventLog("tiny", "masked", tiny_events, tiny_items, version=0)


@pytest.fixture(scope="session")
def tiny_experiment():
    from recbench.settings import Experiment, FeatureSettings, TowerSettings, TrainingSettings

    return Experiment(
        features=FeatureSettings(history_length=8),
        towers=TowerSettings(embedding_dim=8, hidden_dim=8),
        training=TrainingSettings(max_steps=TINY_STEPS, batch_size=16, n_uniform=20, n_cuts=6),
    )


@pytest.fixture(scope="session")
def tiny_arguments(tiny_data, tiny_experiment):
    from recbench.jobs.build import Cut
    from recbench.tables.split import microseconds

    cut = Cut(
        at=microseconds(tiny_data.watermark) + 1,
        horizon_us=3 * 86_400_000_000,
        half_life_s=5 * 86_400.0,
    )
    return {"cut": cut, "experiment": tiny_experiment}


@pytest.fixture(scope="session")
def tiny_batches(tiny_data, tiny_arguments):
    from recbench.jobs.build import batches_for

    return batches_for(tiny_data, tiny_data.events, **tiny_arguments)


@pytest.fixture(scope="session")
def inner_batches(tiny_data, tiny_arguments):
    """Batches that train on the next events within histories, too."""
    from recbench.jobs.build import batches_for

    return batches_for(tiny_data, tiny_data.events, **with_encoder(tiny_arguments, inner=1.0))


@pytest.fixture(scope="session")
def sequence_batches(tiny_data, tiny_arguments):
    """Batches of a session log: every position of a sequence is a request."""
    from recbench.jobs.build import batches_for

    sessions = replace(tiny_data, protocol="next_in_session")
    return batches_for(sessions, sessions.events, **with_encoder(tiny_arguments))


def with_encoder(arguments, *, inner=0.0):
    experiment = arguments["experiment"]
    towers = replace(experiment.towers, encoder="gru", n_layers=1)
    training = replace(experiment.training, inner_weight=inner)
    return arguments | {"experiment": replace(experiment, towers=towers, training=training)}


@pytest.fixture(scope="session")
def tiny_towers(tiny_data, tiny_experiment):
    """Makes untrained towers, each time the same."""
    from recbench.jobs.build import new_towers

    return lambda: new_towers(tiny_data, tiny_experiment)


@pytest.fixture(scope="session")
def tiny_fit(tiny_data, tiny_arguments):
    from recbench.jobs.build import fit_two_tower

    return fit_two_tower(tiny_data, tiny_data.events, steps=TINY_STEPS, **tiny_arguments)


@pytest.fixture(scope="session")
def known_graphs(tmp_path_factory):
    """Graphs by what they are of, and a folder for them."""
    return {}, tmp_path_factory.mktemp("graphs")


@pytest.fixture(scope="module")
def graphs_once(known_graphs):
    """Towers built alike are exported once; the graph is then given new weights, as by a refresh.

    An export takes seconds. Every release compares its graphs with torch, as ever.
    """
    from recbench.jobs import exports

    with pytest.MonkeyPatch.context() as patch:
        for tower in ("query_tower", "candidate_tower"):
            export, patched = (
                getattr(exports, f"{does}_{tower}") for does in ("export", "patched")
            )
            patch.setattr(exports, f"export_{tower}", exported_once(export, patched, known_graphs))
        yield


def exported_once(export, patched, known_graphs):
    known, folder = known_graphs

    def write(towers, path):
        key = export.__name__, repr(getattr(towers, "query_tower", towers))
        if key in known and patched(known[key], towers, path):
            return
        export(towers, path)
        known[key] = shutil.copy(path, folder / f"{len(known)}.onnx")

    return write


@pytest.fixture(scope="session")
def tiny_workspace(tiny_fit, tiny_data, tiny_experiment, tmp_path_factory):
    """A workspace with `tiny_fit` as its published release; not to be changed.

    Every precision is exported, which takes seconds: who only reads a release reads this one.
    """
    from recbench.jobs.publish import make_release
    from recbench.refresh import Registry

    workspace = tmp_path_factory.mktemp("workspace")
    registry = Registry(workspace / "registry")
    release = make_release(
        tiny_fit,
        tiny_data,
        tiny_data.events,
        registry=registry,
        experiment=tiny_experiment,
        metrics={},
    )
    registry.publish(release.manifest.release)
    return workspace


@pytest.fixture(scope="session")
def tiny_release(tiny_workspace):
    """The release of `tiny_workspace`."""
    from recbench.refresh import Registry

    return Registry(tiny_workspace / "registry").open()


@pytest.fixture(scope="session")
def tiny_untrained(tiny_data, tiny_arguments):
    from recbench.jobs.build import fit_two_tower

    return fit_two_tower(tiny_data, tiny_data.events, steps=0, **tiny_arguments)


@pytest.fixture(scope="session")
def rank_client():
    """A Dask client of three workers that are threads here and share one warm fork server."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=3,
            threads_per_worker=1,
            processes=False,
            protocol="tcp://",
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="session")
def ranks(rank_client):
    """``ranks(n)`` is a cluster of n ranks, real processes; all workers are warm."""
    from dataclasses import replace

    from recbench.cluster.ranks import ranks_on
    from recbench.cluster.warm import WarmWorkers, warm_workers

    rank_client.register_plugin(WarmWorkers())
    while len(warm_workers(rank_client).usable) < 3:
        time.sleep(0.05)
    # a machine that does other things holds a rank up, too
    return lambda n: replace(ranks_on(rank_client, minimum=n, maximum=n), stale_s=60.0)


@pytest.fixture
def lab_session(tmp_path):
    """What JupyterLab's scheduler itself writes with, into the workspace's database."""
    pytest.importorskip("jupyter_scheduler", reason="needs the extra `lab`")
    from jupyter_scheduler.orm import create_session, create_tables

    (tmp_path / "workspace" / "lab").mkdir(parents=True)
    url = f"sqlite:///{tmp_path / 'workspace' / 'lab' / 'jobs.sqlite'}"
    create_tables(url)
    return create_session(url)


@pytest.fixture
def defined_in_lab(lab_session):
    """Keeps a definition, and jobs of it by status, message and seconds after 2026 began."""
    from jupyter_scheduler.orm import Job, JobDefinition

    begin = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)
    common = {"runtime_environment_name": "recbench", "input_filename": "tiny.ipynb"}

    def define(*jobs, identity="1-1", name="often", schedule="*/5 * * * *", **fields):
        fields = common | {"timezone": "UTC", "parameters": {"k": "5"}} | fields
        with lab_session() as open_one:
            open_one.add(
                JobDefinition(job_definition_id=identity, name=name, schedule=schedule, **fields)
            )
            for status, message, second in jobs:
                at = begin + 1000 * second
                times = {"create_time": at, "start_time": at, "end_time": at + 2500}
                values = {"status": status, "status_message": message, **common, **times}
                open_one.add(Job(job_definition_id=identity, **values))
            open_one.commit()

    return define
