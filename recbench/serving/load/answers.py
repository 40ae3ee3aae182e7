"""What a load found: one row a request, and the figures that are told of it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl

from recbench.serving.load.exchange import Exchanged

__all__ = ["Answers", "latency_percentiles"]

PERCENTILES = {"p50_ms": 0.5, "p90_ms": 0.9, "p99_ms": 0.99, "p999_ms": 0.999}
SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "number": pl.Int64,  # in the order of sending
    "request": pl.Int64,  # which of the bodies
    "due_s": pl.Float64,  # since the load began, as all times
    "sent_s": pl.Float64,
    "done_s": pl.Float64,
    "latency_ms": pl.Float64,  # from when it was due, not from when it could be sent
    "error": pl.String,  # null: answered
    "release": pl.String,
    "fallback": pl.String,
    "items": pl.List(pl.Int64),
    "scores": pl.List(pl.Float64),
}


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """The requests of one load, in the order of completion."""

    frame: pl.DataFrame  # columns of ``SCHEMA``
    began_at: float  # epoch seconds
    tool_cpu_s: float  # user and system time of the load tool itself

    @classmethod
    def of(
        cls, exchanged: Sequence[Exchanged], *, n_bodies: int, began_at: float, tool_cpu_s: float
    ) -> Self:
        """Read what came back; a reply without release and items is ``malformed``."""
        rows = [_row(one, n_bodies) for one in exchanged]
        return cls(pl.DataFrame(rows, schema=SCHEMA, orient="row"), began_at, tool_cpu_s)

    @classmethod
    def joined(cls, loads: Sequence[Self]) -> Self:
        """Loads that followed each other as one: times are since the first began."""
        began_at = loads[0].began_at
        frames, n_sent = [], 0
        for load in loads:
            times = pl.col("due_s", "sent_s", "done_s") + (load.began_at - began_at)
            frames.append(load.frame.with_columns(times, pl.col("number") + n_sent))
            n_sent += len(load.frame)
        return cls(pl.concat(frames), began_at, sum(load.tool_cpu_s for load in loads))

    @property
    def answered(self) -> pl.DataFrame:
        """The rows without an error."""
        return self.frame.filter(pl.col("error").is_null())

    def errors(self) -> dict[str, int]:
        """How many requests failed, by kind, the most frequent first."""
        failed = self.frame["error"].drop_nulls().value_counts(sort=True)
        return dict(failed.iter_rows())

    def summary(self) -> dict[str, float]:
        """Counts, rates and latencies; latencies are those of answered requests.

        ``offered_per_s`` counts what was due, over the time until the last was, ``answered_per_s``
        what was answered, over the time until the last reply. ``late_p99_ms`` is how late requests
        were sent, by the tool or for want of a connection; it is part of every latency.
        """
        answered, seconds = self.answered, float(self.frame["done_s"].max() or 0.0)  # type: ignore[arg-type]  # a float column
        late_ms = (self.frame["sent_s"] - self.frame["due_s"]).to_numpy() * 1e3
        due_s = float(self.frame["due_s"].max() or 0.0)  # type: ignore[arg-type]  # a float column
        per_s = 1 / seconds if seconds else 0.0
        return {
            "requests": len(self.frame),
            "errors": len(self.frame) - len(answered),
            "fallbacks": len(answered) - answered["fallback"].null_count(),
            "seconds": seconds,
            "offered_per_s": len(self.frame) / due_s if due_s else 0.0,
            "answered_per_s": len(answered) * per_s,
            **latency_percentiles(answered["latency_ms"].to_numpy()),
            "late_p99_ms": latency_percentiles(late_ms)["p99_ms"],
            "tool_cpu_frac": self.tool_cpu_s * per_s,
        }


def latency_percentiles(latency_ms: np.ndarray) -> dict[str, float]:
    """p50, p90, p99, p99.9 and the largest, each a latency that occurred; NaN where none did.

    Below a thousand latencies p99.9 is the largest.

    >>> latency_percentiles(np.array([4.0, 1.0, 3.0, 2.0]))["p50_ms"]
    2.0
    """
    if not len(latency_ms):
        return dict.fromkeys([*PERCENTILES, "max_ms"], float("nan"))
    values = np.quantile(latency_ms, list(PERCENTILES.values()), method="inverted_cdf")
    return dict(zip(PERCENTILES, values.tolist(), strict=True)) | {
        "max_ms": float(latency_ms.max())
    }


def _row(one: Exchanged, n_bodies: int) -> tuple[Any, ...]:
    error, answer = one.error, (None, None, None, None)
    if error is None and one.status != 200:
        error = f"http {one.status}"
    elif error is None:
        try:
            answer = _answer(one.body)
        except (ValueError, KeyError, TypeError):
            error = "malformed"
    times = (one.due_s, one.sent_s, one.done_s, (one.done_s - one.due_s) * 1e3)
    return (one.number, one.number % n_bodies, *times, error, *answer)


def _answer(body: bytes) -> tuple[Any, ...]:
    held = json.loads(body)
    items = held["items"]
    ids, scores = ([item[name] for item in items] for name in ("item_id", "score"))
    return str(held["release"]), held.get("fallback"), ids, scores
