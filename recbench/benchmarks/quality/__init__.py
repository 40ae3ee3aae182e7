"""Who ranks best on a log: tuned rivals beside our models, on rolling cut-offs, with costs."""

from recbench.benchmarks.quality.contest import Contest, Entry
from recbench.benchmarks.quality.cuts import RollingCut, rolling_cuts
from recbench.benchmarks.quality.outcome import Outcome
from recbench.benchmarks.quality.pooled import (
    best_baseline,
    clustered_difference,
    comparison,
    pooled_table,
    price_table,
    routing_table,
)

__all__ = [
    "Contest",
    "Entry",
    "Outcome",
    "RollingCut",
    "best_baseline",
    "clustered_difference",
    "comparison",
    "pooled_table",
    "price_table",
    "rolling_cuts",
    "routing_table",
]
