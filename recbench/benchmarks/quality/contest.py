"""One cut of one log: everybody tuned alike, judged on the same requests, with what it cost."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from recbench import columns as c
from recbench.benchmarks.quality.costs import Spent, single_query_ms
from recbench.benchmarks.quality.cuts import RollingCut
from recbench.benchmarks.quality.mix import Mix, best_mix
from recbench.benchmarks.quality.peers import PEERS, foreign_lists
from recbench.benchmarks.quality.rivals import Rival, rivals
from recbench.evaluation.exam import Exam
from recbench.evaluation.recommender import Recommender
from recbench.jobs.build import Cut, FittedTwoTower, fit_two_tower
from recbench.jobs.two_stage import first_stage, pseudo_lists, second_stage
from recbench.models.baselines import RecencyPopularity
from recbench.settings import Encoder, Experiment, RankingSettings
from recbench.tables.log import EventLog, catalogue
from recbench.tables.queries import InteractionLog

__all__ = ["Contest", "Entry"]

PRIOR_WEIGHTS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
PRIOR = "recency popularity"
MIX = "best simple mix"
REQUEST = "request"
DAY_S = 86_400.0
EPOCHS = (2, 1, 3, 5)  # of peers, in the order in which they are tried


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A model of the contest as judged."""

    name: str
    model: Recommender
    by_request: pl.DataFrame  # user_id, and NDCG as value; of requests with a history
    costs: dict[str, float | None]
    dials: dict[str, Any] = field(default_factory=dict)
    validation: float | None = None  # NDCG by which its dials were chosen


@dataclass(frozen=True, slots=True, eq=False)
class Contest:
    """A log, a cut, and how much tuning everybody gets."""

    data: EventLog
    cut: RollingCut
    experiment: Experiment
    ranking: RankingSettings
    k: int = 20
    n_trials: int = 4
    seed: int = 0

    def exam(self) -> Exam:
        """The test: requests with a history."""
        past, test = self.cut.past(self.data.events), self.cut.test(self.data.events)
        return self._exam(past, test, at=self.cut.test_at)

    def baselines(self) -> Iterator[Entry]:
        """Every rival, and each once more with a recency prior; then the best mix of some."""
        train = self._log(self.cut.train(self.data.events))
        past = self._log(self.cut.past(self.data.events))
        exam, at = self._validation(), self.cut.validation_at
        tuned: dict[str, tuple[Recommender, Recommender]] = {}  # as of validation and of test
        for rival in rivals(self.data.protocol):
            with Spent() as spent:
                fitted, dials, value = self._tuned(rival, train, exam, at=at)
                with Spent() as last:
                    final = rival.fit(past, at=self.cut.test_at, seed=self.seed, **dials)
            tuned[rival.name] = (fitted, final)
            yield self._entry(rival.name, final, spent, last, dials, value)
            if rival.with_prior:
                yield self._with_prior(rival.name, tuned, exam, spent, last)
        if self.data.protocol != "masked":
            yield self._mixed(tuned, exam)

    def two_tower(self, encoder: Encoder = "pooled", *, seed: int | None = None) -> Entry:
        """The two-tower alone, stopped by the validation and fitted anew on all of the past.

        Args:
            encoder: of its histories; ``"deepseek"`` has experts, ``"transformer"`` is dense and
                passes an event through as many multiply-adds.
            seed: of its weights and batches; default: that of the experiment.
        """
        seed = self.experiment.seed if seed is None else seed
        fit = partial(self._fit_tower, encoder, seed)
        with Spent() as spent:
            prior_s = self.best_half_life()
            steps = fit(prior_s, validation=True).steps
            with Spent() as last:
                fitted = fit(prior_s, validation=False, steps=max(1, steps))
        name = "two-tower" if encoder == "pooled" else f"two-tower, {encoder}"
        dials = {"steps": steps, "half_life_days": prior_s / DAY_S, "seed": seed}
        return self._entry(name, fitted.model, spent, last, dials, None)

    def peers(self, prior: float) -> Iterator[Entry]:
        """RecBole's SASRec and GRU4Rec: epochs chosen by the validation, then with the prior.

        Args:
            prior: half-life of the recency prior, seconds.
        """
        train = self._log(self.cut.train(self.data.events))
        past = self._log(self.cut.past(self.data.events))
        exam, queries = self._validation(), self.exam().queries
        epochs = EPOCHS[: self.n_trials]
        priors = [
            RecencyPopularity.fit(log, at=at, half_life_s=prior)
            for log, at in ((train, self.cut.validation_at), (past, self.cut.test_at))
        ]
        for name in PEERS:
            with Spent() as spent:
                tried, _ = foreign_lists(name, train, exam.queries, epochs=epochs, seed=self.seed)
                best = max(epochs, key=lambda n: exam.score(tried[n], group="all"))
                with Spent() as last:
                    found, figures = foreign_lists(
                        name, past, queries, epochs=[best], seed=self.seed
                    )
            told: dict[str, float | None] = {
                "examples_per_s": figures["examples_per_s"],
                "p99_ms": figures["p99_ms"],
            }
            told |= {"p50_ms": None, "peak_mb": None}
            dials = {"epochs": best}
            yield self._entry(name, found[best], spent, last, dials, None, told=told)
            pairs: dict[str, tuple[Recommender, Recommender]] = {
                name: (tried[best], found[best]),
                PRIOR: (priors[0], priors[1]),
            }
            yield self._with_prior(name, pairs, exam, spent, last, told=told)

    def two_stage(self, seeds: tuple[int, ...]) -> Iterator[Entry]:
        """Retrieval and ranker, one a seed; its dials are the same for every log and cut."""
        past = self.cut.past(self.data.events)
        with Spent() as shared:
            lists = pseudo_lists(
                self.data,
                past,
                at=self.cut.test_at,
                horizon_us=self.cut.horizon_us,
                settings=self.ranking,
            )
            stage = first_stage(self.data, past, at=self.cut.test_at, settings=self.ranking)
        for seed in seeds:
            with Spent() as spent:
                model = second_stage(
                    stage,
                    lists,
                    protocol=self.data.protocol,
                    settings=self.ranking,
                    seed=seed,
                )
            spent.cpu_s += shared.cpu_s
            spent.joules += shared.joules
            spent.peak_bytes = max(spent.peak_bytes or 0, shared.peak_bytes or 0) or None
            yield self._entry("two-stage", model, spent, spent, {"seed": seed}, None)

    def _tuned(
        self, rival: Rival, train: InteractionLog, exam: Exam, *, at: int
    ) -> tuple[Recommender, dict[str, float], float]:
        """The best of the trials on the validation, its dials and its NDCG."""
        best: tuple[float, Recommender, dict[str, float]] | None = None
        for dials in rival.trials(self.n_trials, seed=self.seed):
            model = rival.fit(train, at=at, seed=self.seed, **dials)
            value = exam.score(model, group="all")
            if best is None or value > best[0]:
                best = value, model, dials
        assert best is not None
        return best[1], best[2], best[0]

    def _with_prior(
        self,
        name: str,
        tuned: dict[str, tuple[Recommender, Recommender]],
        exam: Exam,
        spent: Spent,
        last: Spent,
        *,
        told: Mapping[str, float | None] | None = None,
    ) -> Entry:
        (fitted, final), (prior, final_prior) = tuned[name], tuned[PRIOR]
        weights = [(1.0, weight) for weight in PRIOR_WEIGHTS]
        with Spent() as tuning:
            mix, values = best_mix({name: fitted, PRIOR: prior}, exam, weights)
        tuning.cpu_s += spent.cpu_s
        tuning.joules += spent.joules
        tuning.peak_bytes = spent.peak_bytes
        blend = Mix({name: final, PRIOR: final_prior}, mix.weights)
        dials = {"prior_weight": mix.weights[1]}
        return self._entry(f"{name} + recency", blend, tuning, last, dials, max(values), told=told)

    def _mixed(self, tuned: dict[str, tuple[Recommender, Recommender]], exam: Exam) -> Entry:
        """Random weights of all rivals: ten times as many trials as a rival has dials tried."""
        names = [name for name in tuned if name != "popularity"]
        rng = np.random.default_rng(self.seed)
        drawn = rng.dirichlet(np.full(len(names), 0.5), size=10 * self.n_trials)
        weights = [tuple(row) for row in drawn.tolist()]
        with Spent() as spent:
            mix, values = best_mix({name: tuned[name][0] for name in names}, exam, weights)
        blend = Mix({name: tuned[name][1] for name in names}, mix.weights)
        dials = {n: round(w, 3) for n, w in zip(names, mix.weights, strict=True)}
        return self._entry(MIX, blend, spent, spent, dials, max(values))

    def _entry(
        self,
        name: str,
        model: Recommender,
        spent: Spent,
        last: Spent,
        dials: dict[str, Any],
        validation: float | None,
        *,
        told: Mapping[str, float | None] | None = None,
    ) -> Entry:
        """Judged on the test; ``told`` are figures that were measured elsewhere."""
        exam = self.exam()
        n_clicks = len(self.cut.past(self.data.events).filter(c.CLICKED))
        costs: dict[str, float | None] = {
            "cpu_s": spent.cpu_s,
            "joules": spent.joules,
            "peak_mb": None if spent.peak_bytes is None else spent.peak_bytes / 1e6,
            "examples_per_s": n_clicks / last.cpu_s if last.cpu_s > 0 else None,
        }
        costs |= told or single_query_ms(model, exam.queries, k=self.k)
        return Entry(name, model, _graded(exam, model), costs, dials, validation)

    def best_half_life(self) -> float:
        """Of recency popularity on the validation, seconds."""
        rival = next(each for each in rivals(self.data.protocol) if each.name == PRIOR)
        train = self._log(self.cut.train(self.data.events))
        at = self.cut.validation_at
        model, _, _ = self._tuned(rival, train, self._validation(), at=at)
        assert isinstance(model, RecencyPopularity)
        return model.half_life_s

    def _fit_tower(
        self,
        encoder: Encoder,
        seed: int,
        half_life_s: float,
        *,
        validation: bool,
        steps: int | None = None,
    ) -> FittedTwoTower:
        towers = replace(self.experiment.towers, encoder=encoder)
        at = self.cut.validation_at if validation else self.cut.test_at
        events = (self.cut.train if validation else self.cut.past)(self.data.events)
        return fit_two_tower(
            self.data,
            events,
            Cut(at=at, horizon_us=self.cut.horizon_us, half_life_s=half_life_s),
            experiment=replace(self.experiment, towers=towers, seed=seed),
            steps=steps,
            measure=self._validation().score if validation else None,
            label="two-tower",
        )

    def _validation(self) -> Exam:
        train, then = (part(self.data.events) for part in (self.cut.train, self.cut.validation))
        return self._exam(train, then, at=self.cut.validation_at)

    def _exam(self, past: pl.DataFrame, test: pl.DataFrame, *, at: int) -> Exam:
        items = catalogue(self.data)
        return Exam.of(
            protocol=self.data.protocol, past=past, test=test, at=at, items=items, k=self.k
        ).known_only()

    def _log(self, events: pl.DataFrame) -> InteractionLog:
        return InteractionLog.from_events(events, items=catalogue(self.data))


def _graded(exam: Exam, model: Recommender) -> pl.DataFrame:
    """``request, user_id``, every metric, and under ``next_basket`` NDCG among new items."""
    frame = exam.grade(model, resamples=0).by_user.drop("known").rename({c.USER_ID: REQUEST})
    owner = frame[REQUEST]
    if exam.owners is not None:
        owner = pl.Series(exam.owners[owner.to_numpy()])
    frame = frame.with_columns(owner.alias(c.USER_ID))
    if not exam.repeats or exam.owners is not None:
        return frame
    new = replace(exam, repeats=False).grade(model, resamples=0).by_user
    metric = f"ndcg@{exam.k}"
    columns = new.select(pl.col(c.USER_ID).alias(REQUEST), pl.col(metric).alias(f"{metric} new"))
    return frame.join(columns, on=REQUEST, how="left", maintain_order="left")
