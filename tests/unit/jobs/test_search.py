"""Searches: the same budget, resumed, shared, pruned."""

import polars as pl
import pytest

from recbench.errors import InputError
from recbench.jobs import study
from recbench.jobs.search import Search
from recbench.jobs.space import Choice, Range, experiment_with, suggest
from recbench.jobs.study import MODEL
from recbench.settings import Experiment

optuna = pytest.importorskip("optuna", reason="extra `tune` is not installed")

PATIENCE_S = 140  # of a test that waits twice at most, on a machine that does other things
SPACE = {"learning_rate": Range(1e-3, 1e-1, log=True), "embedding_dim": Choice((4, 8))}


@pytest.fixture(scope="module")
def lab(tiny_log, tmp_path_factory):
    log = study.open_log(str(tiny_log), workspace=tmp_path_factory.mktemp("workspace"))
    dials = {"max_steps": 40, "batch_size": 16, "n_uniform": 20, "n_cuts": 6, "hidden_dim": 8}
    return study.Study.of(log, study.experiment(seed=0, **dials), k=5)


@pytest.fixture(scope="module")
def prior(lab):
    return lab.tune_prior()


@pytest.fixture
def search(lab, prior, tmp_path):
    return lambda n_trials: Search(lab, prior, SPACE, n_trials, tmp_path / "search")


def test_the_best_trial_is_the_best_on_the_validation(search):
    found = search(4).run()
    complete = found.trials.filter(pl.col("state") == "complete")
    assert found.value == complete["value"].max()
    row = complete.row(complete["value"].arg_max(), named=True)
    assert found.best == {name: row[name] for name in SPACE}
    assert (complete["cpu_s"] > 0).all()
    fitted = search(4).experiment(found)
    assert fitted.towers.embedding_dim == found.best["embedding_dim"]
    assert fitted.training.learning_rate == found.best["learning_rate"]
    assert fitted.training.batch_size == 16


def test_a_search_goes_on_where_it_stood(search):
    first = search(2).run()
    more = search(5).run()
    assert more.trials[:2].equals(first.trials)
    assert len(more.trials) == 5
    assert search(5).run().trials.equals(more.trials)  # nothing is left to do


@pytest.mark.parametrize("model", ["ItemKNN", "EASE", "ALS"])
def test_a_baseline_has_the_same_number_of_trials(search, model):
    found = search(3).run(model)
    assert found.trials["model"].unique().to_list() == [model]
    assert len(found.trials) == 3
    assert found.value == found.trials["value"].max()


def test_a_baseline_is_fitted_as_it_was_judged(search, lab, prior):
    from recbench.models.baselines import RecencyPopularity
    from recbench.tables.log import catalogue
    from recbench.tables.queries import InteractionLog

    found = search(3).run("EASE")
    log = InteractionLog.from_events(lab.split.train, items=catalogue(lab.data))
    recency = RecencyPopularity.fit(log, at=lab.validation_us, half_life_s=prior.half_life_s)
    model = search(3).baseline(found, log, recency)
    assert lab.validation_exam().score(model) == pytest.approx(found.value)


def test_other_dials_are_another_search(search, lab, prior, tmp_path):
    search(2).run()
    other = Search(lab, prior, SPACE | {"id_dropout": Range(0.0, 0.5)}, 2, tmp_path / "search")
    assert len(other.run().trials) == 2


def test_what_falls_behind_is_pruned_and_counted(search, monkeypatch):
    from recbench.jobs import search as module

    def value(search, model, drawn, trial):
        for step in range(0, 200, 20):
            trial.report(0.5 if trial.number < 5 else 0.1, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return 0.5 if trial.number < 5 else 0.1

    monkeypatch.setattr(module, "_value", value)
    found = search(7).run()
    assert found.trials["state"].to_list() == ["complete"] * 5 + ["pruned"] * 2
    assert found.value == 0.5


PROCESS = """
import time
from recbench.jobs import search as module, study
from recbench.jobs.search import Search
from recbench.jobs.space import Choice, Range

dials = {"max_steps": 40, "batch_size": 16, "n_uniform": 20, "n_cuts": 6, "hidden_dim": 8}
log = study.open_log(data, workspace=place / "workspace")
lab = study.Study.of(log, study.experiment(seed=0, **dials), k=5)
value = module._value

def slowly(*arguments):
    began.set()
    time.sleep(slow)
    return value(*arguments)

module._value = slowly
space = {"learning_rate": Range(1e-3, 1e-1, log=True), "embedding_dim": Choice((4, 8))}
Search(lab, lab.tune_prior(), space, n_trials, place / "search").run()
"""


@pytest.fixture
def start(forking, tiny_log, tmp_path):
    """Starts a process that searches; gives it, and the event that is set as a trial begins."""

    def start(*, n_trials, slow):
        began = forking.Event()
        told = {"data": str(tiny_log), "place": tmp_path, "n_trials": n_trials}
        told |= {"slow": slow, "began": began}
        process = forking.Process(target=exec, args=(PROCESS, told))
        process.start()
        return process, began

    return start


def journal(tmp_path):
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    (path,) = (tmp_path / "search").glob("*.journal")
    storage = JournalStorage(JournalFileBackend(str(path)))
    (told,) = optuna.get_all_study_summaries(storage)
    return optuna.load_study(study_name=told.study_name, storage=storage).get_trials()


def test_a_killed_trial_is_tried_again_with_its_dials(start, tmp_path):
    process, began = start(n_trials=2, slow=600)
    assert began.wait(PATIENCE_S)
    process.kill()
    process.join()
    again, _ = start(n_trials=2, slow=0)
    again.join(PATIENCE_S)
    assert again.exitcode == 0
    trials = journal(tmp_path)
    states = [trial.state.name for trial in trials]
    assert states == ["FAIL", "COMPLETE", "COMPLETE"]
    assert trials[1].params == trials[0].params


def test_two_processes_share_a_search(start, tmp_path):
    first, began = start(n_trials=3, slow=1.0)
    assert began.wait(PATIENCE_S)
    second, _ = start(n_trials=3, slow=0)
    for process in (second, first):
        process.join(PATIENCE_S)
        assert process.exitcode == 0
    states = [trial.state.name for trial in journal(tmp_path)]
    assert "FAIL" not in states  # the other's running trial is left alone
    assert 3 <= len(states) <= 6


def test_trials_run_on_a_cluster(search, forking):
    import dask
    from distributed import Client, LocalCluster

    from recbench.cluster.nanny import PatientNanny

    with (
        dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}),
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            worker_class=PatientNanny,
            dashboard_address="127.0.0.1:0",
            host="127.0.0.1",
        ) as cluster,
        Client(cluster) as client,
    ):
        found = search(4).run("ItemKNN", client=client)
    assert len(found.trials) == 4
    assert set(found.trials["state"]) == {"complete"}


def test_a_dial_that_is_not_there_is_refused(lab, prior, tmp_path):
    with pytest.raises(InputError, match="No dial is called 'depth'"):
        Search(lab, prior, {"depth": Range(1, 3)}, 2, tmp_path)


def test_a_value_that_is_not_allowed_is_refused_before_any_trial(lab, prior, tmp_path):
    with pytest.raises(InputError, match="`encoder` must be one of .* got 'lstm'"):
        Search(lab, prior, {"encoder": Choice(("gru", "lstm"))}, 2, tmp_path)
    assert not [*tmp_path.iterdir()]


def test_a_model_that_is_not_there_is_refused(search):
    with pytest.raises(InputError, match="must be one of .*'ALS'.* got 'BPR'"):
        search(1).run("BPR")


def test_no_trials_are_no_search(search):
    with pytest.raises(InputError, match="`n_trials` must be at least 1, got 0"):
        search(0)


@pytest.mark.parametrize("bounds", [(2.0, 1.0, False), (0.0, 1.0, True)])
def test_a_range_needs_its_bounds_in_order(bounds):
    with pytest.raises(InputError, match=f"between {bounds[0]} and {bounds[1]}"):
        Range(*bounds)


def test_whole_bounds_draw_whole_numbers():
    trial = optuna.trial.FixedTrial({"k": 7, "shrink": 0.5})
    drawn = suggest(trial, {"k": Range(1, 9), "shrink": Range(0.1, 1.0)})
    assert drawn == {"k": 7, "shrink": 0.5}
    assert isinstance(drawn["k"], int)


def test_dials_reach_their_part_of_the_settings():
    changed = experiment_with(Experiment(), {"encoder": "gru", "history_length": 9})
    assert (changed.towers.encoder, changed.features.history_length) == ("gru", 9)
    assert changed.training == Experiment().training


def test_a_trial_that_has_just_begun_is_not_taken_for_dead(search):
    from optuna.trial import TrialState

    found = search(2)
    number = found._trials(MODEL).ask().number  # as seen before its process has said whose it is
    found.run()
    assert found._trials(MODEL).trials[number].state == TrialState.RUNNING
