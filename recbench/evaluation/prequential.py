"""Test, then train, window after window: what keeping up is worth, with intervals.

Values of one user in several windows depend on each other, so users are resampled, with all their
requests.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.evaluation.intervals import LEVEL, RESAMPLES, Interval

__all__ = ["Recovery", "by_window", "gap_slope", "recovery"]

WINDOW = "window"
KEY = [WINDOW, c.USER_ID, "ordinal"]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Recovery:
    """One arm between doing nothing and full retrains, over all windows."""

    value: Interval  # the arm's own mean
    of_retrain: Interval  # the arm's mean over that of retrains
    gap: Interval  # (retrain - nothing) / retrain: what there is to gain
    recovered: Interval | None  # (arm - nothing) / (retrain - nothing); None: no gain to recover

    def __str__(self) -> str:
        """In a line."""
        share = "no gain to recover" if self.recovered is None else f"{self.recovered} recovered"
        return f"{self.value}, {self.of_retrain} of retrain, {share}"


def recovery(
    arm: pl.DataFrame,
    *,
    retrain: pl.DataFrame,
    nothing: pl.DataFrame,
    known: bool = False,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Recovery:
    """How much of what retrains gain over doing nothing the arm gains.

    Args:
        arm: ``window, user_id, known, value``, a row a request; the same requests in all three.
        retrain: of models that were trained anew before each window.
        nothing: of the model that was there before the first.
        known: only requests with a history.
        seed: of the bootstrap.
        resamples: of the bootstrap.

    Raises:
        InputError: the three were not judged by the same requests, or by none.
    """
    sums = _sums_by_user({"arm": arm, "retrain": retrain, "nothing": nothing}, known=known)
    drawn = _resampled(sums, seed=seed, resamples=resamples)
    whole = sums.sum(axis=0)
    n_users = len(sums)

    def interval(of: npt.NDArray[np.float64], values: Floats) -> Interval:
        low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Interval(float(of), float(low), float(high), n_users)

    def ratio(part: Floats, of: Floats) -> Floats:
        found: Floats = np.divide(part, of, out=np.full_like(of, np.nan), where=of != 0)
        return found

    def of(s: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        n, a, r, z = np.moveaxis(np.atleast_2d(s), -1, 0)
        return ratio(a, n), ratio(a, r), ratio(r - z, r), ratio(a - z, r - z)

    value, share, gap, recovered = (
        interval(one[0], many) for one, many in zip(of(whole), of(drawn), strict=True)
    )
    return Recovery(value, share, gap, recovered if gap.low > 0 else None)


def by_window(arms: Mapping[str, pl.DataFrame], *, known: bool = False) -> pl.DataFrame:
    """``window, arm, value, n``: each arm's mean in each window."""
    frames = [
        _of_group(frame, known=known)
        .group_by(WINDOW)
        .agg(pl.col("value").mean(), pl.len().alias("n"))
        .with_columns(arm=pl.lit(name))
        for name, frame in arms.items()
    ]
    return pl.concat(frames).sort("arm", WINDOW)


def gap_slope(
    arm: pl.DataFrame,
    *,
    retrain: pl.DataFrame,
    known: bool = False,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """By how much the relative gap to retrains changes from window to window; below 0: it grows.

    The slope of (arm - retrain) / mean of retrain over windows, each weighing by its requests.
    Arguments as for ``recovery``.
    """
    joined = _joined({"arm": arm, "retrain": retrain}, known=known)
    scale = float(joined["retrain"].mean())  # type: ignore[arg-type]  # a float column
    at = joined[WINDOW].to_numpy().astype(np.float64)
    gap = ((joined["arm"] - joined["retrain"]) / scale).to_numpy()
    terms = np.column_stack([np.ones_like(at), at, at**2, gap, at * gap])
    users, row = np.unique(joined[c.USER_ID].to_numpy(), return_inverse=True)
    sums = np.zeros((len(users), terms.shape[1]))
    np.add.at(sums, row, terms)

    def slope(s: Floats) -> Floats:
        n, x, xx, y, xy = np.moveaxis(np.atleast_2d(s), -1, 0)
        below = n * xx - x * x
        found: Floats = np.divide(n * xy - x * y, below, out=np.zeros_like(n), where=below > 0)
        return found

    drawn = slope(_resampled(sums, seed=seed, resamples=resamples))
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(slope(sums.sum(axis=0))[0]), float(low), float(high), len(users))


def _of_group(frame: pl.DataFrame, *, known: bool) -> pl.DataFrame:
    return frame.filter("known") if known else frame


def _joined(arms: Mapping[str, pl.DataFrame], *, known: bool) -> pl.DataFrame:
    """One row a request with a column an arm."""
    numbered = {
        name: _of_group(frame, known=known).select(
            WINDOW,
            c.USER_ID,
            pl.int_range(pl.len()).over(WINDOW, c.USER_ID).alias("ordinal"),
            pl.col("value").alias(name),
        )
        for name, frame in arms.items()
    }
    (first, joined), *others = numbered.items()
    if not len(joined):
        raise InputError("There is no request to compare the arms by")
    for name, frame in others:
        n = len(joined)
        joined = joined.join(frame, on=KEY, how="inner")
        if not n == len(frame) == len(joined):
            raise InputError(f"{first!r} and {name!r} were not judged by the same requests")
    return joined


def _sums_by_user(arms: Mapping[str, pl.DataFrame], *, known: bool) -> Floats:
    """(U, 1 + arms): requests, then sums of values."""
    joined = _joined(arms, known=known)
    grouped = joined.group_by(c.USER_ID).agg(pl.len().cast(pl.Float64), pl.col(*arms).sum())
    sums: Floats = grouped.sort(c.USER_ID).drop(c.USER_ID).to_numpy()
    return sums


def _resampled(sums: Floats, *, seed: int, resamples: int) -> Floats:
    """(resamples, columns) of sums over users drawn with replacement."""
    rng, n = np.random.default_rng(seed), len(sums)
    drawn = [np.bincount(rng.integers(0, n, size=n), minlength=n) @ sums for _ in range(resamples)]
    return np.stack(drawn)
