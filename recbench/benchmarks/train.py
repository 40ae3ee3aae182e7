"""Training through Lightning, beside a bare torch loop over the same batches."""

import dataclasses
import time
import warnings
from itertools import islice

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from recbench import columns as c
from recbench.benchmarks.features import generated_events
from recbench.benchmarks.result import BenchResult, medians
from recbench.errors import InputError, JobError
from recbench.jobs.build import batches_for, microseconds, new_towers
from recbench.settings import Experiment, TrainingSettings
from recbench.tables.log import EventLog
from recbench.training.batches import Batches
from recbench.training.fit import fit
from recbench.training.module import batch_loss

__all__ = ["run"]

DAY_US = 86_400_000_000
KEYS = ("examples_per_s", "bare_examples_per_s", "vs_bare_loop")


def run(*, runs: int = 3, events: int = 200_000, steps: int = 300, seed: int = 0) -> BenchResult:
    """Time ``steps`` steps of the default two-tower both ways, in turns.

    Both draw the same batches, and after the last step both must hold the same weights, to
    float32 rounding. ``examples_per_s`` counts supervised target positions.

    Args:
        runs: how often.
        events: how many generated events the batches come from.
        steps: how many training steps.
        seed: of events, weights and batches.

    Raises:
        InputError: a number below 1.
        JobError: the two trained to different weights.
    """
    if min(runs, events, steps) < 1:
        raise InputError(f"`runs`, `events`, `steps` must be positive, got {runs, events, steps}")
    settings = Experiment(training=TrainingSettings(max_steps=steps), seed=seed)
    log, batches = _generated(events, settings)
    n_examples = sum(len(batch.targets) for batch in islice(batches.from_step(0), steps))
    measured = []
    for _ in range(runs):
        start = time.perf_counter()
        ours = fit(new_towers(log, settings), batches, max_steps=steps, label="lightning").towers
        between = time.perf_counter()
        bare = _bare_loop(new_towers(log, settings), batches, steps=steps)
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
    return BenchResult("train", medians(measured, keys=KEYS), measured)


def _generated(n_events: int, settings: Experiment) -> tuple[EventLog, Batches]:
    events = generated_events(n_events, seed=settings.seed).filter(c.CLICKED)
    items = events.select(c.ITEM_ID).unique().sort(c.ITEM_ID)
    log = EventLog("generated", "masked", events, items, version=0)
    batches = batches_for(
        log,
        events,
        at=microseconds(log.watermark) + 1,
        horizon_us=DAY_US,
        half_life_s=86_400.0,
        experiment=settings,
    )
    return log, batches


def _bare_loop(towers: torch.nn.Module, batches: Batches, *, steps: int) -> torch.nn.Module:
    """What `fit` computes, with its defaults, and nothing around it."""
    defaults = {field.name: field.default for field in dataclasses.fields(TrainingSettings)}
    towers.train()
    average = AveragedModel(
        towers,
        multi_avg_fn=get_ema_multi_avg_fn(defaults["average_decay"]),  # type: ignore[no-untyped-call]  # torch's
    )
    optimizer = torch.optim.AdamW(
        towers.parameters(), lr=defaults["learning_rate"], weight_decay=defaults["weight_decay"]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warmup = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: min(1.0, (n + 1) / 20))
    for batch in islice(batches.from_step(0), steps):
        loss = batch_loss(towers, batch)  # type: ignore[arg-type]  # a TwoTower
        optimizer.zero_grad()
        loss.backward()
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
