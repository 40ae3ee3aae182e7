"""Figures of a service under load: how late its answers are, and when."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench.serving.load.answers import latency_percentiles
from recbench.widgets.style import COLOURS, LINES, legend_below, new_figure, write_plainly

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "checks_table",
    "exports_table",
    "latency_by_size_figure",
    "latency_figure",
    "latency_over_time_figure",
    "latency_table",
]

MOST_POINTS = 20_000  # of a scatter; the slowest are always among them
Latencies = npt.NDArray[np.float64]


def latency_figure(latencies_ms: Mapping[str, Latencies], *, bar_ms: float) -> "Figure":
    """The share of requests that took longer than each latency, both on logarithmic axes.

    Args:
        latencies_ms: by what they are of; the first one is spoken of in the title.
        bar_ms: what p99 must stay below.
    """
    name, first = next(iter(latencies_ms.items()))
    p99, p999 = np.quantile(first, [0.99, 0.999], method="inverted_cdf") if len(first) else [0, 0]
    where = "within" if p99 <= bar_ms else "beyond"
    finding = f"{name}: p99 {p99:.2f} ms, {where} {bar_ms:g} ms; p99.9 {p999:.2f} ms"
    figure, axes = new_figure(finding)
    for (colour, dash), (label, values) in zip(cycle(LINES), latencies_ms.items(), strict=False):
        slower = 1 - np.arange(len(values)) / max(1, len(values))
        look: dict[str, Any] = {"color": colour, "linestyle": dash}
        axes.step(np.sort(values), slower, where="post", label=label, **look)
    axes.plot([bar_ms], [0.01], marker="v", color=COLOURS["other"], label=f"p99 of {bar_ms:g} ms")
    for share, word in ((0.5, "p50"), (0.01, "p99"), (0.001, "p99.9")):
        axes.axhline(share, color=COLOURS["other"], linewidth=0.6, linestyle=":")
        axes.annotate(word, (1, share), xycoords=("axes fraction", "data"), fontsize=8, ha="right")
    axes.set_xscale("log")
    axes.set_yscale("log")
    write_plainly(axes.xaxis)
    axes.set_xlabel("latency, ms")
    axes.set_ylabel("share of requests that took longer")
    axes.legend(frameon=False)
    return figure


def latency_over_time_figure(
    frame: pl.DataFrame, swaps_s: Sequence[float], *, bar_ms: float
) -> "Figure":
    """Each request's latency at the time when it was due, with swaps marked.

    Args:
        frame: of ``Answers``: ``due_s``, ``latency_ms`` and ``error``.
        swaps_s: when a release was published, on the same clock.
        bar_ms: what p99 must stay below.
    """
    answered = frame.filter(pl.col("error").is_null())
    n_failed = len(frame) - len(answered)
    p99 = answered["latency_ms"].quantile(0.99, interpolation="higher") or 0.0
    failed = f"{n_failed} of {len(frame)} requests failed" if n_failed else "no request failed"
    swaps = f"{len(swaps_s)} swap{'s' * (len(swaps_s) != 1)}"
    figure, axes = new_figure(f"{swaps}: p99 {p99:.2f} ms, {failed}")
    slowest = answered.sort("latency_ms", descending=True)
    usual = slowest[MOST_POINTS // 2 :]
    some = usual.gather_every(max(1, -(-len(usual) // (MOST_POINTS // 2))))
    shown = pl.concat([slowest[: MOST_POINTS // 2], some])
    axes.scatter(
        shown["due_s"], shown["latency_ms"], s=4, color=COLOURS["other"], alpha=0.5, linewidths=0
    )
    by_second = (
        answered.group_by(pl.col("due_s").floor().alias("second"))
        .agg(pl.col("latency_ms").quantile(0.99, interpolation="higher").alias("p99"))
        .sort("second")
    )
    axes.plot(
        by_second["second"] + 0.5, by_second["p99"], color=COLOURS["model"], label="p99 by second"
    )
    for number, at in enumerate(swaps_s):
        label = "release published" if number == 0 else None
        axes.axvline(at, color=COLOURS["highlight"], linewidth=0.8, label=label)
    axes.axhline(bar_ms, color=COLOURS["reference"], linestyle="--", label=f"{bar_ms:g} ms")
    axes.set_yscale("log")
    write_plainly(axes.yaxis)
    axes.set_xlabel("seconds since the load began")
    axes.set_ylabel("latency from when it was due, ms")
    legend_below(figure)
    return figure


def latency_table(loads: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """``load, requests, failed, p50_ms, …, max_ms``, a row a load; latencies of what was answered.

    Args:
        loads: by name, the frames of ``Answers``.
    """
    rows = []
    for name, frame in loads.items():
        answered = frame.filter(pl.col("error").is_null())
        counts = {"load": name, "requests": len(frame), "failed": len(frame) - len(answered)}
        rows.append(counts | latency_percentiles(answered["latency_ms"].to_numpy()))
    return pl.DataFrame(rows)


def latency_by_size_figure(table: pl.DataFrame, *, bar_ms: float) -> "Figure":
    """p50 and p99 by size of the catalogue, a colour for each number of clients.

    Args:
        table: of ``by_catalogue_size``.
        bar_ms: what p99 must stay below.
    """
    eight = table.filter(clients=8).sort("items")
    finding = "No size was measured"
    if len(eight):
        within: Any = eight.filter(pl.col("p99_ms") <= bar_ms)["items"].max()
        finding = (
            f"8 clients: p99 beyond {bar_ms:g} ms at every size"
            if within is None
            else f"8 clients: p99 within {bar_ms:g} ms up to {within:,} items"
        )
    figure, axes = new_figure(finding)
    for (colour, _), ((clients,), rows) in zip(
        cycle(LINES),
        table.sort("clients", "items").group_by("clients", maintain_order=True),
        strict=False,
    ):
        label = f"{clients} client{'s' if clients != 1 else ''}"
        axes.plot(rows["items"], rows["p99_ms"], marker="o", color=colour, label=f"{label}, p99")
        axes.plot(rows["items"], rows["p50_ms"], marker=".", color=colour, linestyle=":")
    axes.axhline(bar_ms, color=COLOURS["reference"], linestyle="--", label=f"{bar_ms:g} ms")
    axes.set_xscale("log")
    axes.set_yscale("log")
    write_plainly(axes.xaxis)
    write_plainly(axes.yaxis)
    axes.set_xlabel("items of the catalogue (dotted: p50)")
    axes.set_ylabel("latency, ms")
    axes.legend(frameon=False, ncols=2)
    return figure


def checks_table(result: Mapping[str, Any]) -> pl.DataFrame:
    """What was measured in each part of a check, a row a figure; ``""`` is the service itself.

    >>> checks_table({"open": {"p99_ms": 3.0}, "memory_bytes": 5}).rows()
    [('open', 'p99_ms', 3.0), ('', 'memory_bytes', 5.0)]
    """
    rows = []
    for part, held in result.items():
        inner = held.items() if isinstance(held, Mapping) else [(part, held)]
        where = part if isinstance(held, Mapping) else ""
        rows += [(where, name, float(value)) for name, value in inner]
    return pl.DataFrame(rows, schema=["part", "figure", "value"], orient="row")


def exports_table(exports: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> pl.DataFrame:
    """What a manifest says of each exported tower, a row a precision; none for an old release.

    >>> exports_table({"query_tower": {"int8": {"overlap": 0.5, "left_out": "too low"}}}).rows()
    [('query_tower', 'int8', None, 0.5, None, None, 'too low')]
    """
    names = {
        "largest_difference": pl.Float64,
        "overlap": pl.Float64,
        "worst_overlap": pl.Float64,
        "bytes": pl.Int64,
        "left_out": pl.String,
    }
    rows = [
        (tower, precision, *(held.get(name) for name in names))
        for tower, by_precision in exports.items()
        for precision, held in by_precision.items()
    ]
    schema = {"tower": pl.String, "precision": pl.String, **names}
    return pl.DataFrame(rows, schema=schema, orient="row")
