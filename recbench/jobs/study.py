"""One study from log to release, a step a method: what the notebooks call.

tune the recency prior -> fit on train, stop by the validation -> fit on train and validation, judge
on the test -> fit on all -> release.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import polars as pl

from recbench import columns as c
from recbench.datasets import load
from recbench.errors import InputError
from recbench.evaluation.exam import Exam
from recbench.evaluation.ranking import RankingResult
from recbench.features.batch import Engine
from recbench.jobs.compare import baselines, best_half_life, best_priors, result_table
from recbench.jobs.study_tables import feature_table, result_figures, split_facts
from recbench.models.baselines import RecencyPopularity
from recbench.refresh import Registry
from recbench.settings import (
    Experiment,
    ExportSettings,
    RankingSettings,
    TowerSettings,
    TrainingSettings,
)
from recbench.tables.log import EventLog, catalogue
from recbench.tables.queries import InteractionLog
from recbench.tables.split import TimeSplit, split_by_time

if TYPE_CHECKING:  # torch and its exporter take seconds to import: not for what only reads a log
    from distributed import Client

    from recbench.jobs.build import FittedTwoTower, Measure
    from recbench.jobs.publish import Released
    from recbench.models.ranking.two_stage import TwoStage
    from recbench.training.fit import Accelerator

__all__ = ["MODEL", "REFERENCE", "Study", "experiment", "log_value", "open_log"]

MODEL = "two-tower"
REFERENCE = "recency popularity"


def open_log(data: str, *, workspace: Path, items: str = "", protocol: str = "") -> EventLog:
    """The log that a notebook's parameters name; empty texts mean: as declared."""
    return load(
        data,
        workspace=workspace,
        items=Path(items) if items else None,
        protocol=protocol or None,
    )


def experiment(*, seed: int, **dials: Any) -> Experiment:
    """The settings that a notebook's parameters name; all others at their defaults.

    Raises:
        InputError: neither the towers, the training nor the export have a dial of that name.
    """
    kinds = {"towers": TowerSettings, "training": TrainingSettings, "export": ExportSettings}
    part_of = {dial.name: part for part, kind in kinds.items() for dial in fields(kind)}
    if unknown := [*dials.keys() - part_of.keys()]:
        raise InputError(f"No dial is called {unknown[0]!r}; there are {sorted(part_of)}")
    given = {n: tuple(v) if isinstance(v, list) else v for n, v in dials.items()}
    parts: dict[str, Any] = {
        part: kind(**{name: value for name, value in given.items() if part_of[name] == part})
        for part, kind in kinds.items()
    }
    return Experiment(seed=seed, **parts)


def log_value(metric: str) -> Callable[[int, float], None]:
    """A listener that tracks ``metric`` on the validation as training goes."""
    from recbench import tracking

    return lambda step, value: tracking.log_metrics({f"validation/{metric}": value}, step=step)


@dataclass(frozen=True, slots=True, eq=False)
class TunedPrior:
    """The recency prior that does best on the validation."""

    half_life_s: float
    value: float  # of the metric, on known users
    table: pl.DataFrame  # half_life_days and the metric
    weights: dict[str, float]  # of the prior in each baseline

    @property
    def half_life_days(self) -> float:
        """The same in days."""
        return self.half_life_s / 86_400


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """A log, its split by time, and the dials."""

    data: EventLog
    split: TimeSplit
    experiment: Experiment
    k: int
    accelerator: "Accelerator"
    engine: Engine
    client: "Client | None" = None  # of a Dask cluster whose workers train together

    @classmethod
    def of(
        cls,
        data: EventLog,
        experiment: Experiment,
        *,
        k: int = 20,
        accelerator: "Accelerator" = "cpu",
        engine: Engine = "cpu",
        client: "Client | None" = None,
    ) -> Self:
        """Split 80 / 10 / 10 by time; ``client``: of a cluster that trains, else this process."""
        if engine not in {"cpu", "gpu"} or accelerator not in {"cpu", "gpu"}:
            raise InputError(
                "`engine` and `accelerator` must be 'cpu' or 'gpu', got "
                f"{engine!r} and {accelerator!r}"
            )
        return cls(data, split_by_time(data.events), experiment, k, accelerator, engine, client)

    @property
    def metric(self) -> str:
        """What models are judged by."""
        return f"ndcg@{self.k}"

    @property
    def recall(self) -> str:
        """The other metric that a run is remembered by."""
        return f"recall@{self.k}"

    def versions(self) -> dict[str, int]:
        """What was read: the data set and its lake version."""
        return {self.data.name: self.data.version}

    def facts(self) -> pl.DataFrame:
        """The shape of the log and of its split."""
        return split_facts(self.data, self.split)

    def features(self) -> pl.DataFrame:
        """Each window feature over all events: how often it has a value, and how large."""
        return feature_table(self.data.events, engine=self.engine)

    def tune_prior(self) -> TunedPrior:
        """Half-life of recency popularity, and its weight in each baseline, by the validation."""
        at, items = self.validation_us, catalogue(self.data)
        log = InteractionLog.from_events(self.split.train, items=items)
        exam = self._exam(self.split.train, self.split.validation, at=at)
        half_lives_s = self.experiment.features.prior_half_lives_s
        best, table = best_half_life(log, exam, at=at, half_lives_s=half_lives_s)
        prior = RecencyPopularity.fit(log, at=at, half_life_s=best)
        value = float(table[f"ndcg@{self.k}"].max())  # type: ignore[arg-type]  # a float column
        return TunedPrior(best, value, table, best_priors(log, prior, exam))

    def validation_exam(self) -> Exam:
        """The validation as a test of a model that knows train: users with a history."""
        exam = self._exam(self.split.train, self.split.validation, at=self.validation_us)
        return exam.known_only()

    def test_exam(self) -> Exam:
        """The test, for models that know train and validation."""
        return self._exam(self.split.past, self.split.test, at=self.split.test_us)

    def with_experiment(self, experiment: Experiment) -> Self:
        """The same split under other dials."""
        return replace(self, experiment=experiment)

    def fit_on_train(
        self,
        prior: TunedPrior,
        *,
        on_value: Callable[[int, float], None] | None = None,
        checkpointed: bool = True,
    ) -> "FittedTwoTower":
        """The two-tower on train alone, stopped where the validation is best.

        Args:
            prior: the tuned recency prior.
            on_value: told of each (step, measure).
            checkpointed: whether a job that is resumed goes on within this fit.
        """
        return self._fit(
            self.split.train,
            prior,
            at=self.validation_us,
            measure=self.validation_exam().score,
            on_value=on_value,
            label="train",
            checkpointed=checkpointed,
        )

    def fit_on_past(self, prior: TunedPrior, *, steps: int) -> "FittedTwoTower":
        """The two-tower on train and validation, for the test."""
        return self._fit(
            self.split.past, prior, at=self.split.test_us, steps=steps, label="train+validation"
        )

    def fit_on_all(
        self, prior: TunedPrior, *, steps: int, but_last: float = 0.0
    ) -> "FittedTwoTower":
        """The two-tower on every event, for a release as of the log's end.

        Args:
            prior: the tuned recency prior.
            steps: of the training.
            but_last: share of the log, in [0, 0.5], that is left to a refresh.

        Raises:
            InputError: ``but_last`` lies outside its range.
        """
        if not 0 <= but_last <= 0.5:
            raise InputError(f"The share left to a refresh must lie in [0, 0.5], got {but_last}")
        n = round(but_last * len(self.data.events))
        left = self.data.events[c.TS].dt.epoch("us").tail(n)
        at = int(left[0]) if n else self.data.watermark_us + 1
        known = replace(self, data=self.data.until(at))
        return known._fit(known.data.events, prior, at=at, steps=steps, label="all events")

    def fit(self, *, at: int, steps: int, half_life_s: float) -> "FittedTwoTower":
        """The two-tower on every event with dials that are known, as of ``at`` in microseconds."""
        prior = TunedPrior(half_life_s, float("nan"), pl.DataFrame(), {})
        return self._fit(self.data.events, prior, at=at, steps=steps, label="full rebuild")

    def results(self, final: "FittedTwoTower", prior: TunedPrior) -> dict[str, RankingResult]:
        """The two-tower and every baseline on the test."""
        exam = self.test_exam()
        rivals = baselines(
            final.log, final.prior, prior_weights=prior.weights, seed=self.experiment.seed
        )
        models = {MODEL: final.model} | rivals
        return {name: exam.grade(model) for name, model in models.items()}

    def table(self, results: dict[str, RankingResult]) -> pl.DataFrame:
        """The result table, the best model first."""
        return result_table(results, reference=REFERENCE, metric=self.metric)

    def summary(
        self,
        results: dict[str, RankingResult],
        *,
        prior: TunedPrior,
        steps: int,
        validation: float | None = None,
    ) -> dict[str, Any]:
        """What the run is remembered by; ``validation``: the measure that chose the steps."""
        chose = {} if validation is None else {f"validation/{self.metric}": validation}
        figures = result_figures(results, model=MODEL, reference=REFERENCE, k=self.k)
        return {
            **chose,
            **figures,
            "prior_half_life_days": prior.half_life_days,
            "steps": steps,
        }

    def fit_ranker(
        self, fitted: "FittedTwoTower", settings: RankingSettings | None = None
    ) -> "TwoStage":
        """A ranker as of the same instant, learned from earlier cuts of the same events.

        Raises:
            InputError: the log is too short for an earlier cut.
        """
        from recbench.jobs.two_stage import fit_two_stage

        seen = self.data.until(fitted.at)
        return fit_two_stage(
            seen,
            seen.events,
            at=fitted.at,
            horizon_us=self.horizon_us,
            settings=settings or RankingSettings(),
            seed=self.experiment.seed,
        )

    def release(
        self,
        fitted: "FittedTwoTower",
        results: dict[str, RankingResult],
        *,
        workspace: Path,
        publish: bool = True,
        commit: str | None = None,
        ranker: "TwoStage | None" = None,
    ) -> "Released":
        """Export, check, bind and, if asked for, publish; ``ranker``: that of ``fit_ranker``."""
        from recbench.jobs.publish import Released, make_release

        registry = Registry(workspace / "registry")
        seen = self.data.until(fitted.at)
        release = make_release(
            fitted,
            seen,
            seen.events,
            registry=registry,
            experiment=self.experiment,
            metrics={"measured": "before refit", MODEL: results[MODEL].to_json()},
            commit=commit,
            ranker=ranker,
        )
        if publish:
            registry.publish(release.manifest.release)
        return Released(release, publish)

    @property
    def validation_us(self) -> int:
        """Where the validation starts, microseconds since the epoch."""
        return self.split.validation_us

    @property
    def horizon_us(self) -> int:
        """How long after a pseudo-cut a click is a target: as long as the validation lasts."""
        return self.split.test_us - self.validation_us

    def _exam(self, past: pl.DataFrame, test: pl.DataFrame, *, at: int) -> Exam:
        return Exam.of(
            protocol=self.data.protocol,
            past=past,
            test=test,
            at=at,
            items=catalogue(self.data),
            k=self.k,
        )

    def _fit(
        self,
        events: pl.DataFrame,
        prior: TunedPrior,
        *,
        at: int,
        label: str,
        steps: int | None = None,
        measure: "Measure | None" = None,
        on_value: Callable[[int, float], None] | None = None,
        checkpointed: bool = True,
    ) -> "FittedTwoTower":
        from recbench.jobs.build import Cut, fit_two_tower

        cut = Cut(at=at, horizon_us=self.horizon_us, half_life_s=prior.half_life_s)
        return fit_two_tower(
            self.data,
            events,
            cut,
            experiment=self.experiment,
            steps=steps,
            measure=measure,
            accelerator=self.accelerator,
            engine=self.engine,
            checkpoint=self._checkpoint(label) if checkpointed else None,
            on_value=on_value,
            client=self.client,
            label=label,
        )

    def _checkpoint(self, label: str) -> Path | None:
        """Within a job: where training leaves its state, so that a resumed run goes on there."""
        folder = os.environ.get("RECBENCH_RUN_DIR")
        name = f"{label.replace(' ', '_')}-version-{self.data.version}.ckpt"
        return Path(folder, "checkpoints", name) if folder else None
