"""What a training step costs as the catalogue grows."""

import time

import numpy as np
import polars as pl
import torch

from recbench import columns as c
from recbench.benchmarks.generated import generated_events
from recbench.errors import InputError
from recbench.jobs.build import Cut, pseudo_cuts
from recbench.models.candidate_features import CandidateHistory
from recbench.models.content import ItemContent, TokenField
from recbench.models.query_towers import PooledQueryTower
from recbench.models.two_tower import CandidateTower, ItemEncoder, TwoTower
from recbench.settings import Experiment
from recbench.tables.queries import InteractionLog
from recbench.tables.vocabulary import Vocabulary
from recbench.training.batches import Batches
from recbench.training.examples import Examples, first_clicks
from recbench.training.objective import Objective
from recbench.training.row_adam import RowAdam
from recbench.training.target_shares import TargetShares

__all__ = ["measure"]

SMALL = 10_000
EVENTS, WARMUP, STEPS = 200_000, 5, 40
DAY_US = 86_400_000_000


def measure(*, n_items: int = 10_000_000, seed: int = 0) -> dict[str, float]:
    """Median milliseconds of a step at 10,000 items and at ``n_items``; tables move by row.

    A step is a batch made from the log, the default two-tower's loss and gradient, and both
    optimisers, the moving average of the tables included. The same 200,000 events each; their
    items are spread over the catalogue. ``catalogue_bytes`` is what grows with it: the item table,
    its optimiser's state and average, and the items' token rows.

    Raises:
        InputError: ``n_items`` below 10,000.
    """
    if n_items < SMALL:
        raise InputError(f"`n_items` must be at least {SMALL}, got {n_items}")
    small_ms, _ = _steps(SMALL, seed=seed)
    large_ms, n_bytes = _steps(n_items, seed=seed)
    return {
        "catalogue_items": n_items,
        "step_ms_10k_items": small_ms,
        "step_ms_catalogue": large_ms,
        "catalogue_vs_10k_items": small_ms / large_ms,
        "catalogue_bytes": n_bytes,
    }


def _steps(n_items: int, *, seed: int) -> tuple[float, float]:
    """Milliseconds a step, and bytes of what has a row an item."""
    settings = Experiment(seed=seed)
    batches, towers = _batches(n_items, settings), _towers(n_items, settings)
    dials = settings.training
    tables = [p for n, p in towers.named_parameters() if n.startswith("items.")]
    rows = RowAdam(
        tables,
        lr=dials.learning_rate,
        weight_decay=dials.weight_decay,
        average_decay=dials.average_decay,
    )
    dense = torch.optim.AdamW(
        [p for n, p in towers.named_parameters() if not n.startswith("items.")],
        lr=dials.learning_rate,
        weight_decay=dials.weight_decay,
    )
    objective, stream, seconds = Objective(), batches.from_step(0), []
    for _ in range(WARMUP + STEPS):
        start = time.perf_counter()
        loss, _ = objective(towers, next(stream))
        rows.zero_grad()
        dense.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's
        rows.step()
        dense.step()
        seconds.append(time.perf_counter() - start)
    state = [t for t in rows.state[towers.items.item.weight].values() if torch.is_tensor(t)]
    buffers = [towers.items.category_rows, towers.items.title_rows]
    held = [towers.items.item.weight, *state, *buffers]
    return float(np.median(seconds[WARMUP:]) * 1e3), float(sum(t.nbytes for t in held))


def _towers(n_items: int, settings: Experiment) -> TwoTower:
    torch.manual_seed(settings.seed)
    no_tokens = TokenField((), np.zeros((n_items, 1), dtype=np.int64))
    sizes = {
        "embedding_dim": settings.towers.embedding_dim,
        "hidden_dim": settings.towers.hidden_dim,
    }
    return TwoTower(
        ItemEncoder(
            n_items,
            ItemContent(no_tokens, no_tokens),
            embedding_dim=settings.towers.embedding_dim,
            sparse=True,
        ),
        CandidateTower(n_features=len(settings.features.popularity_half_lives_s) + 2, **sizes),
        PooledQueryTower(n_window_features=0, **sizes),
    )


def _batches(n_items: int, settings: Experiment) -> Batches:
    events = generated_events(EVENTS, seed=settings.seed).filter(c.CLICKED)
    spread = n_items // (int(events[c.ITEM_ID].max()) + 1)  # type: ignore[arg-type]  # a number
    events = events.with_columns(pl.col(c.ITEM_ID) * spread)
    log = first_clicks(InteractionLog.from_events(events, items=Vocabulary(np.arange(n_items))))
    cut = Cut(at=int(log.ts.max()) + 1, horizon_us=DAY_US, half_life_s=86_400.0)
    cuts = pseudo_cuts(log, cut, settings.training)
    examples = Examples.at_pseudo_cuts(log, cuts=cuts, horizon_us=DAY_US)
    nothing = np.zeros((len(examples), 0), dtype=np.float32)
    return Batches(
        examples,
        CandidateHistory(
            log,
            half_lives_s=settings.features.popularity_half_lives_s,
            prior_half_life_s=cut.half_life_s,
        ),
        nothing,
        nothing,
        TargetShares.of(examples),
        batch_size=settings.training.batch_size,
        n_uniform=settings.training.n_uniform,
        history_length=settings.features.history_length,
        id_dropout=settings.training.id_dropout,
        repeats=False,
        inner=False,
        all_items=False,
        seed=settings.seed,
    )
