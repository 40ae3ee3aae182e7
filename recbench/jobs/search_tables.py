"""Tables of a search, for people."""

from collections.abc import Mapping

import polars as pl

from recbench.jobs.search import CPU_S, SearchResult

__all__ = ["budget_table", "dials_table"]


def budget_table(found: Mapping[str, SearchResult]) -> pl.DataFrame:
    """One row a model: its trials by how they ended, their CPU seconds, the best measure."""
    rows = []
    for model, result in found.items():
        states = result.trials["state"]
        counts = {state: int((states == state).sum()) for state in ("complete", "pruned", "fail")}
        cpu_s = round(float(result.trials[CPU_S].sum()), 1)
        rows.append({"model": model} | counts | {CPU_S: cpu_s, "validation": result.value})
    return pl.DataFrame(rows)


def dials_table(result: SearchResult) -> pl.DataFrame:
    """The best trial's dials."""
    values = [str(value) for value in result.best.values()]
    return pl.DataFrame({"dial": list(result.best), "best": values})
