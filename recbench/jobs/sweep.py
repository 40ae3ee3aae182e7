"""A sweep: trials of a notebook, each a job of its own, chosen by grid, at random or by Bayes.

What was tried is an Optuna study in the sweep's run folder, so that a sweep that is resumed goes on
where it stopped. No server is asked: W&B gets the trials as runs of one group, whenever it can.
"""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import polars as pl

from recbench.errors import InputError, JobError
from recbench.jobs.children import Asked, Child, children_as_they_end
from recbench.jobs.run import notebook_parameters
from recbench.jobs.runs import find_notebook
from recbench.jobs.space import suggest
from recbench.jobs.sweep_space import SweepSpace
from recbench.settings import notebooks_path
from recbench.tracking import flat_metrics, job_folder

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.samplers import BaseSampler

__all__ = ["Goal", "Method", "Sweep", "SweepResult"]

Method = Literal["grid", "random", "bayes"]
Goal = Literal["maximize", "minimize"]
JOURNAL = "sweep.journal"
HOPELESS = 3  # trials that fail before any succeeds
RUN, SECONDS, ERROR, DATA = "run", "seconds", "error", "data"


@dataclass(frozen=True, slots=True, eq=False)
class SweepResult:
    """All trials, in their order, and the best: its parameters, value and run."""

    trials: pl.DataFrame  # number, state, value, one column a parameter, seconds, run, error
    best: dict[str, Any]
    value: float
    run: str
    metric: str
    goal: Goal
    data: dict[str, Any]  # that trials read: lake version by data set

    def ranked(self) -> pl.DataFrame:
        """The trials, the best first, failed ones last."""
        is_more = self.goal == "maximize"
        return self.trials.sort("value", descending=is_more, nulls_last=True)

    def summary(self) -> dict[str, Any]:
        """What the sweep is remembered by."""
        states = self.trials["state"]
        return {
            self.metric: self.value,
            "n_trials": len(self.trials),
            "n_failed": int((states == "failed").sum()),
            "best": {**self.best, "run": self.run},
        }


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """Which notebook, over which space, for which metric."""

    notebook: Path
    space: SweepSpace
    metric: str  # as runs record it, flattened: ndcg@20/known/value
    goal: Goal
    method: Method
    n_trials: int
    seed: int

    @classmethod
    def of(
        cls,
        notebook: str,
        parameters: Mapping[str, Any],
        *,
        metric: str,
        goal: Goal = "maximize",
        method: Method = "bayes",
        n_trials: int = 20,
        seed: int = 0,
    ) -> Self:
        """A sweep in W&B's words.

        Args:
            notebook: a file, or a name in the notebooks' folder.
            parameters: as W&B's ``parameters``; see ``SweepSpace.of``.
            metric: which number of a trial counts.
            goal: whether more or less is better.
            method: how points are chosen; a space of no more points than trials is a grid.
            n_trials: failed ones included; at most as many as the space has points.
            seed: of the choice.

        Raises:
            InputError: no such notebook, or words or values that cannot be.
        """
        for what, word, allowed in (("goal", goal, Goal), ("method", method, Method)):
            if word not in get_args(allowed):
                raise InputError(f"`{what}` must be one of {get_args(allowed)}, got {word!r}")
        if n_trials < 1:
            raise InputError(f"`n_trials` must be at least 1, got {n_trials}")
        path = find_notebook(notebook, notebooks_path())
        space = SweepSpace.of(parameters, notebook_parameters(path), source=f"`{path.name}`")
        if space.n_points <= n_trials:
            method = "grid"  # who draws from so few would try some twice and others never
        if method == "grid":
            n_trials = min(n_trials, len(space.points()))
        return cls(path, space, metric, goal, method, n_trials, seed)

    def run(self, *, at_once: int = 1) -> SweepResult:
        """Trials until ``n_trials`` have ended, those before a resumption included.

        Args:
            at_once: how many may run at the same time.

        Raises:
            JobError: a trial recorded no such metric, the first three trials failed, or all did.
        """
        study = self._opened()
        waiting: dict[str, Trial] = {}
        ended = sum(trial.state.is_finished() for trial in study.trials)
        missing = max(0, self.n_trials - ended)
        for child in children_as_they_end(
            self._asked(study, missing, waiting), total=missing, at_once=at_once, label="trials"
        ):
            self._tell(study, waiting.pop(child.name), child)
        return self._result(study)

    def _asked(self, study: "Study", missing: int, waiting: dict[str, "Trial"]) -> Iterator[Asked]:
        from optuna.trial import Trial, TrialState

        begun = [
            Trial(study, trial._trial_id)
            for trial in study.get_trials(states=(TrialState.RUNNING,))
            if trial.params  # else the choice itself was cut off
        ]
        for place in range(missing):
            study.sampler = self._sampler(len(study.trials))
            trial = begun[place] if place < len(begun) else study.ask()
            drawn = suggest(trial, self.space.varied)
            waiting[name := f"trial {trial.number}"] = trial
            yield Asked(notebook=self.notebook, parameters={**self.space.fixed, **drawn}, name=name)

    def _tell(self, study: "Study", trial: "Trial", child: Child) -> None:
        from optuna.trial import TrialState

        trial.set_user_attr(RUN, child.folder.name)
        trial.set_user_attr(SECONDS, child.duration_s)
        trial.set_user_attr(DATA, child.data)
        if child.status != "succeeded":
            trial.set_user_attr(ERROR, child.error)
            study.tell(trial, state=TrialState.FAIL)
            self._require_hope(study)
            return
        metrics = flat_metrics(child.metrics)
        value = metrics.get(self.metric)
        if type(value) not in {int, float}:
            raise JobError(
                f"{child.folder.name} recorded {value!r} as `{self.metric}`, no number; it has "
                f"{sorted(name for name in metrics if type(metrics[name]) in {int, float})}"
            )
        study.tell(trial, value)

    def _require_hope(self, study: "Study") -> None:
        ended = [trial for trial in study.trials if trial.state.is_finished()]
        if len(ended) >= min(HOPELESS, self.n_trials) and all(
            trial.state.name == "FAIL" for trial in ended
        ):
            first = ended[0].user_attrs
            raise JobError(
                f"The first {len(ended)} trials failed; {first.get(RUN)}: {first.get(ERROR)}"
            )

    def _opened(self) -> "Study":
        import optuna
        from optuna.storages import InMemoryStorage, JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        folder = job_folder()
        journal = folder and JournalFileBackend(str(folder / JOURNAL))
        study = optuna.create_study(
            study_name="sweep" if folder else uuid.uuid4().hex,
            storage=JournalStorage(journal) if journal else InMemoryStorage(),
            direction=self.goal,
            load_if_exists=True,
        )
        if self.method == "grid":
            for point in self.space.points()[len(study.trials) : self.n_trials]:
                study.enqueue_trial(point)
        return study

    def _sampler(self, n_before: int) -> "BaseSampler":
        """For the next trial; a resumed sweep must not draw what the first attempt drew."""
        from optuna.samplers import RandomSampler, TPESampler

        if self.method != "bayes":
            return RandomSampler(seed=self.seed + n_before)
        return TPESampler(seed=self.seed + n_before, constant_liar=True)

    def _result(self, study: "Study") -> SweepResult:
        complete = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
        if not complete:
            raise JobError(f"None of the {len(study.trials)} trials succeeded")
        best = study.best_trial
        return SweepResult(
            pl.DataFrame([*_rows(study)], infer_schema_length=None),
            {**self.space.fixed, **best.params},
            float(best.value or 0.0),
            str(best.user_attrs[RUN]),
            self.metric,
            self.goal,
            {name: each for t in study.trials for name, each in t.user_attrs.get(DATA, {}).items()},
        )


def _rows(study: "Study") -> Iterator[dict[str, Any]]:
    states = {"COMPLETE": "complete", "FAIL": "failed"}
    for trial in study.trials:
        if trial.state.is_finished():
            yield {
                "number": trial.number,
                "state": states[trial.state.name],
                "value": trial.value,
                **trial.params,
                **{name: trial.user_attrs.get(name) for name in (SECONDS, RUN, ERROR)},
            }
