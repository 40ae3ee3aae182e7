"""Hyper-parameter search: resumable, pruned, over a cluster, with one budget for every model.

All trials of one model on one split are an Optuna study in one journal file of the workspace. A
trial that its process did not live to end is tried again.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import psutil

from recbench.errors import InputError, JobError
from recbench.evaluation.ranking import RankingResult
from recbench.evaluation.recommender import Recommender
from recbench.jobs.space import BASELINE_SPACES, Space, experiment_with, suggest
from recbench.jobs.study import MODEL, REFERENCE, Study, TunedPrior
from recbench.models.baselines import (
    ALS,
    EASE,
    ItemKNN,
    RecencyPopularity,
    WithFallback,
    WithRecencyPrior,
)
from recbench.settings import Experiment
from recbench.tables.log import catalogue
from recbench.tables.queries import InteractionLog

if TYPE_CHECKING:
    from distributed import Client
    from optuna import Study as Trials
    from optuna.trial import FrozenTrial

__all__ = [
    "CPU_S",
    "MODELS",
    "Search",
    "SearchResult",
]

BASELINES = {"ItemKNN": ItemKNN, "EASE": EASE, "ALS": ALS}
MODELS = (MODEL, *BASELINES)
PROCESS, CPU_S, STEPS = "process", "cpu_s", "steps"
ENDED = ("COMPLETE", "PRUNED")
YOUNG_S = 60.0  # a trial so young may not have said yet whose it is


@dataclass(frozen=True, slots=True, eq=False)
class SearchResult:
    """The best of one model's trials, and what all of them cost."""

    model: str
    best: dict[str, Any]  # dial -> value
    value: float  # on the validation
    steps: int | None  # of the two-tower at its best
    trials: pl.DataFrame  # model, number, state, value, cpu_s and one column a dial


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """What is searched, judged by the validation alone."""

    lab: Study
    prior: TunedPrior
    space: Space  # of the two-tower
    n_trials: int  # of every model
    folder: Path  # of the journals

    def __post_init__(self) -> None:
        """The dials are there, and there is something to do."""
        if self.n_trials < 1:
            raise InputError(f"`n_trials` must be at least 1, got {self.n_trials}")
        for name, values in self.space.items():
            some = getattr(values, "values", None) or (getattr(values, "low", None),)
            for value in some:
                experiment_with(self.lab.experiment, {name: value})

    def run(self, model: str = MODEL, *, client: "Client | None" = None) -> SearchResult:
        """Trials of one model until ``n_trials`` have ended, those of earlier calls included.

        Args:
            model: ``"two-tower"``, or a baseline of ``BASELINE_SPACES``.
            client: of a Dask cluster whose workers see ``folder``; default: this process.

        Raises:
            InputError: no such model.
            JobError: no trial came to a value.
        """
        if model != MODEL and model not in BASELINES:
            raise InputError(f"`model` must be one of {[MODEL, *BASELINES]}, got {model!r}")
        trials = self._trials(model)
        self._retry_what_died(trials)
        missing = self.n_trials - sum(t.state.name in ENDED for t in trials.get_trials())
        if client is None:
            for _ in range(max(0, missing)):
                _one_trial(self, model)
        else:
            from distributed import as_completed

            work = [client.submit(_one_trial, self, model, pure=False) for _ in range(missing)]
            for done in as_completed(work):  # type: ignore[no-untyped-call]  # Dask's
                done.result()
        return self._result(model, trials)

    def experiment(self, result: SearchResult) -> Experiment:
        """The settings of the two-tower's best trial."""
        return experiment_with(self.lab.experiment, result.best)

    def baseline(
        self, result: SearchResult, log: InteractionLog, prior: RecencyPopularity
    ) -> Recommender:
        """The best baseline fitted on ``log``."""
        return _fitted(result.model, result.best, log, prior, seed=self.lab.experiment.seed)

    def results(self, found: Mapping[str, SearchResult]) -> dict[str, RankingResult]:
        """The best of each model, fitted on train and validation, on the test."""
        lab = self.lab.with_experiment(self.experiment(found[MODEL]))
        final = lab.fit_on_past(self.prior, steps=found[MODEL].steps or 0)
        models: dict[str, Recommender] = {MODEL: final.model, REFERENCE: final.prior}
        for name, result in found.items():
            if name != MODEL:
                fitted = self.baseline(result, final.log, final.prior)
                models[f"{name} + recency"] = WithFallback(fitted, final.prior)
        exam = lab.test_exam()
        return {name: exam.grade(model) for name, model in models.items()}

    def summary(
        self, found: Mapping[str, SearchResult], results: Mapping[str, RankingResult]
    ) -> dict[str, Any]:
        """What a run is remembered by: the two-tower on the test, its dials, the budget."""
        interval = results[MODEL].interval(self.lab.metric, "known")
        trials = found[MODEL].trials
        return {
            f"{self.lab.metric}/known": None if interval is None else interval.value,
            f"validation/{self.lab.metric}": found[MODEL].value,
            "n_trials": self.n_trials,
            "n_pruned": int((trials["state"] == "pruned").sum()),
            "trials_cpu_s": sum(float(result.trials[CPU_S].sum()) for result in found.values()),
        } | {f"best/{name}": value for name, value in found[MODEL].best.items()}

    def _space(self, model: str) -> Space:
        return self.space if model == MODEL else BASELINE_SPACES[model]

    def _trials(self, model: str) -> "Trials":
        """The study of a model on this split: another question has another name."""
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        asked = {
            "data": [self.lab.data.name, self.lab.data.version, self.lab.data.protocol],
            "base": asdict(self.lab.experiment),
            "prior": self.prior.half_life_s,
            "space": {name: asdict(values) for name, values in self._space(model).items()},
            "metric": self.lab.metric,
        }
        digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]
        self.folder.mkdir(parents=True, exist_ok=True)
        journal = JournalFileBackend(str(self.folder / f"{self.lab.data.name}.journal"))
        return optuna.create_study(
            study_name=f"{model} {digest}",
            storage=JournalStorage(journal),
            direction="maximize",
            sampler=optuna.samplers.TPESampler(
                seed=self.lab.experiment.seed + os.getpid(), constant_liar=True
            ),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=60),
            load_if_exists=True,
        )

    def _retry_what_died(self, trials: "Trials") -> None:
        from optuna.trial import TrialState

        for trial in trials.get_trials(states=(TrialState.RUNNING,)):
            if not _lives(trial):
                trials.tell(trial.number, state=TrialState.FAIL)
                trials.enqueue_trial(trial.params)

    def _result(self, model: str, trials: "Trials") -> SearchResult:
        ended = [t for t in trials.get_trials() if t.state.name == "COMPLETE"]
        if not ended:
            raise JobError(f"None of the {len(trials.get_trials())} trials of {model} ended")
        best = max(ended, key=lambda trial: trial.value or 0.0)
        return SearchResult(
            model,
            best.params,
            float(best.value or 0.0),
            best.user_attrs.get(STEPS),
            pl.DataFrame([*_rows(model, trials)], infer_schema_length=None),
        )


def _rows(model: str, trials: "Trials") -> Iterator[dict[str, Any]]:
    for trial in trials.get_trials():
        yield {
            "model": model,
            "number": trial.number,
            "state": trial.state.name.lower(),
            "value": trial.value,
            CPU_S: trial.user_attrs.get(CPU_S),
        } | trial.params


def _one_trial(search: Search, model: str) -> None:
    """Draw, fit, judge; a trial that is far behind the others at the same step ends early."""
    import optuna

    def judged(trial: optuna.Trial) -> float:
        process = psutil.Process()
        trial.set_user_attr(PROCESS, [process.pid, process.create_time(), os.uname().nodename])
        drawn, start = suggest(trial, search._space(model)), time.process_time()
        try:
            return _value(search, model, drawn, trial)
        finally:
            trial.set_user_attr(CPU_S, time.process_time() - start)

    search._trials(model).optimize(judged, n_trials=1)


def _value(search: Search, model: str, drawn: Mapping[str, Any], trial: Any) -> float:
    from optuna import TrialPruned

    lab = search.lab
    if model != MODEL:
        at, exam = lab.validation_us, lab.validation_exam()
        log = InteractionLog.from_events(lab.split.train, items=catalogue(lab.data))
        prior = RecencyPopularity.fit(log, at=at, half_life_s=search.prior.half_life_s)
        return exam.score(_fitted(model, drawn, log, prior, seed=lab.experiment.seed))

    def watch(step: int, value: float) -> None:
        trial.report(value, step)
        if trial.should_prune():
            raise TrialPruned

    changed = lab.with_experiment(experiment_with(lab.experiment, drawn))
    fitted = changed.fit_on_train(search.prior, on_value=watch, checkpointed=False)
    trial.set_user_attr(STEPS, fitted.steps)
    return max(value for _, value in fitted.curve)


def _fitted(
    model: str,
    drawn: Mapping[str, Any],
    log: InteractionLog,
    prior: RecencyPopularity,
    *,
    seed: int,
) -> Recommender:
    """A baseline with its recency prior."""
    dials = {name: value for name, value in drawn.items() if name != "prior_weight"}
    if model == "ALS":
        dials["seed"] = seed
    return WithRecencyPrior(BASELINES[model].fit(log, **dials), prior, drawn["prior_weight"])  # type: ignore[attr-defined]  # each has its own fit


def _lives(trial: "FrozenTrial") -> bool:
    """Whether the process of a running trial is still there; one elsewhere is believed to be."""
    told = trial.user_attrs.get(PROCESS)
    if told is None:
        begun = trial.datetime_start
        return begun is not None and time.time() - begun.timestamp() < YOUNG_S
    pid, created, host = told
    if host != os.uname().nodename:
        return True
    try:
        found = psutil.Process(pid)
        is_same = abs(found.create_time() - created) < 1.0
        return is_same and bool(found.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
