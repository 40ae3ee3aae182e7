"""Training beside RecTools and RecBole, each in the environment of peers."""

import json
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from torch import nn

from recbench import columns as c
from recbench.benchmarks.peers_python import peers_python
from recbench.errors import InputError, JobError
from recbench.evaluation.exam import Exam
from recbench.evaluation.ranking import evaluate
from recbench.evaluation.recommender import as_frame
from recbench.features.batch import window_lookup
from recbench.features.shipped import DEFAULT_WINDOW_FEATURES
from recbench.jobs.build import Cut, batches_for, new_towers
from recbench.jobs.study import Study, TunedPrior, open_log
from recbench.models.candidate_features import CandidateFeatures, CandidateHistory
from recbench.models.content import ItemContent
from recbench.models.encoders.transformer import Transformer
from recbench.models.frozen import TwoTowerRecommender
from recbench.models.query_towers import SequenceQueryTower
from recbench.models.two_tower import CandidateTower, ItemEncoder, TwoTower
from recbench.settings import Experiment
from recbench.tables.log import EventLog, catalogue
from recbench.tables.queries import InteractionLog
from recbench.training.batches import Batches
from recbench.training.examples import Examples, ranges
from recbench.training.fit import fit
from recbench.training.target_shares import TargetShares

__all__ = ["measure"]

SCRIPT = Path(__file__).parent / "foreign" / "peers_training.py"
DATA = "movielens-100k"
HALF_LIVES_S = (86_400.0,)
SEQUENCES, EPOCHS, RECBOLE_CPU_S, K = 128, 5, 400, 20
MOST_STEPS = 3_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sizes:
    """What both sides of a comparison share."""

    length: int = 50
    dim: int = 64
    n_layers: int = 2
    n_heads: int = 2


def measure(*, workspace: Path, seed: int = 0) -> dict[str, float]:
    """Speed beside RecTools' SASRec, and the CPU to reach RecBole's best validation NDCG@20.

    All on MovieLens-100K, one thread each. ``vs_rectools_sasrec`` compares supervised target
    positions per CPU second of the same sequences: one encoder of the same length, width, layers,
    heads and inner width, softmax over all items. ``cpu_to_recbole_best_frac`` is the CPU of our
    fit on the train part until it first ranks the validation's known users as well as RecBole's
    SASRec at its best, over the CPU that took; ``..._without_prior`` that of a model that is not
    told what is popular.

    Raises:
        InputError: the environment is not built.
        JobError: a peer failed, or the two were not given the same positions.
    """
    log = open_log(DATA, workspace=workspace)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _beside_rectools(log, seed=seed) | _beside_recbole(log, seed=seed)
    finally:
        torch.set_num_threads(threads)


def _ask(question: str, **payload: Any) -> dict[str, Any]:
    python = peers_python()
    if python is None:
        raise InputError("RecTools and RecBole are not there: run `make env-peers`")
    done = subprocess.run(
        [python, SCRIPT, question],
        input=json.dumps(payload),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise JobError(f"{question} failed: {done.stderr[-2_000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _beside_rectools(data: EventLog, *, seed: int) -> dict[str, float]:
    sizes = _Sizes()
    events = data.events.group_by(c.USER_ID, maintain_order=True).tail(sizes.length + 1)
    batches, positions = _sequences(data, events, sizes, seed=seed)
    towers = _plain_towers(batches, sizes, seed=seed)
    fit(towers, batches, max_steps=2)  # untimed: what a first step brings up
    start = time.process_time()
    fit(towers, batches, max_steps=EPOCHS * batches.steps_per_epoch, label="ours")
    ours_s = time.process_time() - start
    told = {"user_id": c.USER_ID, "item_id": c.ITEM_ID, "datetime": c.TS}
    columns = events.with_columns(pl.col(c.TS).dt.epoch("us"))
    theirs = _ask(
        "rectools",
        log={name: columns[column].to_list() for name, column in told.items()},
        loss="softmax",
        n_negatives=1,
        batch_size=SEQUENCES,
        epochs=EPOCHS,
        seed=seed,
        length=sizes.length,
        dim=sizes.dim,
        n_layers=sizes.n_layers,
        n_heads=sizes.n_heads,
    )
    ours, supervised = EPOCHS * positions / ours_s, theirs["positions"] / theirs["cpu_s"]
    if abs(theirs["positions"] - EPOCHS * positions) > 0.01 * theirs["positions"]:
        raise JobError(
            f"RecTools supervised {theirs['positions']:.0f} positions, we {EPOCHS * positions}"
        )
    return {
        "positions_per_cpu_s": ours,
        "rectools_positions_per_cpu_s": supervised,
        "vs_rectools_sasrec": ours / supervised,
    }


def _sequences(
    data: EventLog, events: pl.DataFrame, sizes: _Sizes, *, seed: int
) -> tuple[Batches, int]:
    """Every user's events as one sequence, all items as candidates; and the positions."""
    # events of one instant have no order: here each gets an instant of its own, as RecTools has it
    ordered = events.sort(c.USER_ID, c.TS, maintain_order=True)
    instants = pl.int_range(1, pl.len() + 1).cast(pl.Int64).cast(c.INSTANT)
    ordered = ordered.with_columns(instants.alias(c.TS))
    log = InteractionLog.from_events(ordered, items=catalogue(data))
    examples = Examples.of_sequences(log, cuts=np.array([0]), length=sizes.length)
    owner, _ = ranges(examples.target_starts, examples.target_ends)
    nothing = np.zeros((0, 0), dtype=np.float32)
    batches = Batches(
        examples,
        CandidateHistory(log, half_lives_s=HALF_LIVES_S, prior_half_life_s=86_400.0),
        nothing,
        np.zeros((len(log), 0), dtype=np.float32),
        TargetShares.of(examples),
        batch_size=SEQUENCES,
        n_uniform=0,
        history_length=sizes.length,
        id_dropout=0.0,
        repeats=True,
        inner=False,
        all_items=True,
        seed=seed,
    )
    return batches, len(owner)


def _plain_towers(batches: Batches, sizes: _Sizes, *, seed: int) -> TwoTower:
    """Ids, and a transformer of SASRec's sizes."""
    torch.manual_seed(seed)
    items = batches.examples.log.items
    nothing = pl.DataFrame({c.ITEM_ID: items.ids})
    width = {"embedding_dim": sizes.dim, "hidden_dim": sizes.dim}
    encoder: nn.Module = Transformer(
        sizes.dim, n_layers=sizes.n_layers, n_heads=sizes.n_heads, inner_dim=sizes.dim
    )
    return TwoTower(
        ItemEncoder(len(items), ItemContent.from_items(nothing, items), embedding_dim=sizes.dim),
        CandidateTower(n_features=len(HALF_LIVES_S) + 2, **width),
        SequenceQueryTower(encoder, n_window_features=0, **width),
    )


def _beside_recbole(data: EventLog, *, seed: int) -> dict[str, float]:
    study = Study.of(data, Experiment(seed=seed), k=K)
    past = InteractionLog.from_events(study.split.train, items=catalogue(data))
    exam = study.validation_exam()
    queries, rows = exam.queries, past.item_rows + 1
    sequences = np.split(rows, np.flatnonzero(np.diff(past.user_rows)) + 1)
    asked = [
        queries.log.item_rows[a:b] + 1 for a, b in zip(queries.starts, queries.ends, strict=True)
    ]
    answer = _ask(
        "recbole",
        train=[sequence.tolist() for sequence in sequences],
        asked=[history.tolist() for history in asked],
        n_items=len(past.items),
        cpu_s=RECBOLE_CPU_S,
        k=K,
        seed=seed,
    )
    reached = []
    for epoch in answer["epochs"]:
        reached.append((_ndcg(exam, np.array(epoch["lists"]) - 1), epoch["cpu_s"]))
    best, best_s = max(reached)
    prior_start = time.process_time()
    prior = study.tune_prior()
    prior_s = time.process_time() - prior_start
    with_prior = _cpu_to(study, best, prior=prior, popular=True)
    without = _cpu_to(study, best, prior=prior, popular=False)
    return {
        "recbole_best_ndcg": best,
        "recbole_cpu_s": best_s,
        "cpu_to_recbole_best_frac": (prior_s + with_prior) / best_s,
        "cpu_to_recbole_best_frac_without_prior": without / best_s,
    }


def _ndcg(exam: Exam, lists: npt.NDArray[np.int64]) -> float:
    """Mean NDCG of (Q, k) item rows over the exam's users, by the same code as for our models."""
    scores = np.broadcast_to(-np.arange(lists.shape[1], dtype=np.float32), lists.shape)
    frame = as_frame(exam.queries.user_ids, lists, scores, items=exam.queries.items)
    graded = evaluate(
        frame, train=exam.train, test=exam.test, repeats=exam.repeats, k=exam.k, resamples=0
    )
    return float(graded.values(f"ndcg@{exam.k}", "known").to_numpy().mean())


class _Reached(Exception):  # no error: the goal
    """As good as asked for."""


class _Unaware:
    """Candidates of whom nothing is known but what they are."""

    def __init__(self, history: CandidateHistory) -> None:
        self.history = history

    def at(self, instant: int, item_rows: npt.NDArray[np.int64]) -> CandidateFeatures:
        found = self.history.at(instant, item_rows[:1])
        n_items = len(item_rows)
        features = np.zeros((n_items, found.features.shape[1]), dtype=np.float32)
        return CandidateFeatures(features, *[np.zeros(n_items, dtype=np.float32)] * 2)


def _cpu_to(study: Study, goal: float, *, prior: TunedPrior, popular: bool) -> float:
    """CPU seconds of preparing and training until the validation is at ``goal``; else all of them.

    Raises:
        JobError: it never was.
    """
    at, start = study.split.validation_us, time.process_time()
    horizon_us = study.split.test_us - at
    cut = Cut(at=at, horizon_us=horizon_us, half_life_s=prior.half_life_s)
    batches = batches_for(study.data, study.split.train, cut, experiment=study.experiment)
    if not popular:
        batches = replace(batches, candidates=_Unaware(batches.candidates))  # type: ignore[arg-type]  # answers the same
    log = InteractionLog.from_events(study.split.train, items=catalogue(study.data))
    exam, judging_s = study.validation_exam(), 0.0
    every_item = batches.candidates.at(at, np.arange(len(log.items)))
    windows = window_lookup(study.split.train, DEFAULT_WINDOW_FEATURES)

    def judge(towers: TwoTower) -> float:
        nonlocal judging_s
        began = time.process_time()
        model = TwoTowerRecommender.freeze(
            towers,
            log.items,
            every_item,
            history_length=batches.history_length,
            window_features=windows,
        )
        value = exam.score(model)
        judging_s += time.process_time() - began
        if value >= goal:
            raise _Reached
        return value

    try:
        fit(
            new_towers(study.data, study.experiment),
            batches,
            max_steps=MOST_STEPS,
            evaluate=judge,
            evaluate_every=20,
            patience=MOST_STEPS,
            label="with prior" if popular else "without prior",
        )
    except _Reached:
        return time.process_time() - start - judging_s
    raise JobError(f"{MOST_STEPS} steps did not reach an NDCG of {goal:.4f}")
