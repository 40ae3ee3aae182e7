"""Training through Lightning, beside a bare torch loop over the same batches."""

import time
import warnings
from itertools import islice

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from recbench import columns as c
from recbench.benchmarks import catalogue, peers
from recbench.benchmarks.generated import generated_events
from recbench.benchmarks.peers_python import peers_python
from recbench.benchmarks.result import BenchResult, medians
from recbench.errors import InputError, JobError
from recbench.jobs.build import Cut, batches_for, new_towers
from recbench.models.two_tower import TwoTower
from recbench.settings import Experiment, TrainingSettings, workspace_path
from recbench.tables.log import EventLog
from recbench.training.batches import Batches
from recbench.training.fit import fit
from recbench.training.objective import Objective

__all__ = ["generated_batches", "run"]

DAY_US = 86_400_000_000
WARMUP_STEPS = 20
KEYS = ("examples_per_s", "bare_examples_per_s", "vs_bare_loop")


def run(
    *,
    runs: int = 3,
    events: int = 200_000,
    steps: int = 300,
    items: int = 10_000_000,
    seed: int = 0,
) -> BenchResult:
    """Time ``steps`` steps of the default two-tower both ways, in turns.

    Both draw the same batches, and after the last step both must hold the same weights, to
    float32 rounding. ``examples_per_s`` counts supervised target positions. What a step costs at
    10,000 and at ``items`` items: see ``catalogue.measure``. RecTools and RecBole train beside it
    once their environment is built (``make env-peers``), see ``peers.measure``; else their figures
    are not there.

    Args:
        runs: how often.
        events: how many generated events the batches come from.
        steps: how many training steps.
        items: of the large catalogue.
        seed: of events, weights and batches.

    Raises:
        InputError: a number below 1.
        JobError: the two trained to different weights.
    """
    if min(runs, events, steps) < 1:
        raise InputError(f"`runs`, `events`, `steps` must be positive, got {runs, events, steps}")
    settings = Experiment(training=TrainingSettings(max_steps=steps), seed=seed)
    log, batches = generated_batches(events, settings)
    n_examples = sum(len(batch.points.after) for batch in islice(batches.from_step(0), steps))
    measured = []
    for _ in range(runs):
        start = time.perf_counter()
        ours = _with_lightning(new_towers(log, settings), batches, settings=settings.training)
        between = time.perf_counter()
        bare = _bare_loop(new_towers(log, settings), batches, settings=settings.training)
        ours_s, bare_s = between - start, time.perf_counter() - between
        _compare(ours, bare)
        measured.append(
            {
                "ours_s": ours_s,
                "bare_s": bare_s,
                "examples_per_s": n_examples / ours_s,
                "bare_examples_per_s": n_examples / bare_s,
                "vs_bare_loop": bare_s / ours_s,
            }
        )
    figures = medians(measured, keys=KEYS) | catalogue.measure(n_items=items, seed=seed)
    if peers_python() is not None:
        figures |= peers.measure(workspace=workspace_path(), seed=seed)
    return BenchResult("train", figures, measured)


def generated_batches(n_events: int, settings: Experiment) -> tuple[EventLog, Batches]:
    """A generated log of clicks, and what is trained on it."""
    events = generated_events(n_events, seed=settings.seed).filter(c.CLICKED)
    items = events.select(c.ITEM_ID).unique().sort(c.ITEM_ID)
    log = EventLog("generated", "masked", events, items, version=0)
    cut = Cut(at=log.watermark_us + 1, horizon_us=DAY_US, half_life_s=86_400.0)
    return log, batches_for(log, events, cut, experiment=settings)


def _with_lightning(
    towers: TwoTower, batches: Batches, *, settings: TrainingSettings
) -> torch.nn.Module:
    return fit(
        towers,
        batches,
        max_steps=settings.max_steps,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        average_decay=settings.average_decay,
        warmup_steps=WARMUP_STEPS,
        label="lightning",
    ).towers


def _bare_loop(
    towers: TwoTower, batches: Batches, *, settings: TrainingSettings
) -> torch.nn.Module:
    """What `fit` computes, and nothing around it."""
    torch.use_deterministic_algorithms(True)  # as `fit` does on the CPU
    towers.train()
    average = AveragedModel(
        towers,
        multi_avg_fn=get_ema_multi_avg_fn(settings.average_decay),  # type: ignore[no-untyped-call]  # torch's
    )
    optimizer = torch.optim.AdamW(
        towers.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warmup = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min(1.0, (step + 1) / WARMUP_STEPS)
        )
    for batch in islice(batches.from_step(0), settings.max_steps):
        loss, _ = Objective()(towers, batch)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's
        optimizer.step()
        warmup.step()
        average.update_parameters(towers)
    return average.module


def _compare(ours: torch.nn.Module, bare: torch.nn.Module) -> None:
    for name, weight in ours.state_dict().items():
        other = bare.state_dict()[name]
        if not torch.allclose(weight.float(), other.float(), atol=1e-4, rtol=1e-3):
            gap = float((weight - other).abs().max())
            raise JobError(f"Lightning and the bare loop trained {name} apart by {gap:.2e}")
