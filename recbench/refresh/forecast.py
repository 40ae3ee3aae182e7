"""What a refresh will gain and cost, said before anything is spent; pure functions of the past."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

__all__ = ["Done", "Forecast", "calibration", "forecast", "is_worth_it"]

PRIOR_GAIN, PRIOR_SPREAD = 0.005, 0.02  # of NDCG by a refresh of usual size, before any refresh
USUAL = 0.01  # of the log: that size, before any refresh
NOISE = 0.02  # spread of the gain from window to window that no figure explains
Z90 = 1.6449  # an interval that should hold nine of ten outcomes


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A refresh of the past: how much came, what was said, what came of it."""

    n_events: int
    share: float  # of the log, the events that came
    gain: float | None  # relative NDCG over the parent as it was served; None: nobody to judge
    gain_error: float | None  # its standard error
    cpu_s: float
    predicted: "Forecast | None" = None
    joules: float | None = None  # None: not counted
    ndcg_gain: float | None = None  # of which ``gain`` is the share
    n_judged: int | None = None  # requests or users that ``gain`` is the mean of

    def to_json(self) -> dict[str, Any]:
        """For the refresh's record."""
        return asdict(self)

    @classmethod
    def from_json(cls, held: dict[str, Any]) -> Self:
        """What ``to_json`` gave."""
        predicted = held["predicted"] and Forecast(**held["predicted"])
        return cls(**(held | {"predicted": predicted}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """A gain in relative NDCG with the bounds of nine outcomes in ten, and a cost."""

    gain: float
    low: float
    high: float
    cpu_s: float | None  # None before the first refresh
    n_past: int  # refreshes that it rests on


def forecast(past: Sequence[Done], *, n_events: int, share: float) -> Forecast:
    """The gain grows with the root of the share of the log that came; how fast, the past teaches.

    A normal prior for the gain by a refresh of usual size, updated by each measured gain as one
    whose variance grows with the expected gain: so what is said of all earlier ones that brought
    anything adds up to what they gained. Their mean is the usual size: a quarter of an hour brings
    a hundredth of a log here and a ten-thousandth there, and there its gain is no hundredth of that
    here. The cost is a constant and a price by event, the median of both.

    Args:
        past: earlier refreshes of this log, any order.
        n_events: that have come.
        share: of the log that they are.
    """
    told = [done for done in past if done.gain is not None]
    errors = _errors(told)
    sizes = np.sqrt([done.share for done in told])
    weights = (sizes > 0) / (NOISE**2 + errors**2)
    gains = np.array([done.gain for done in told], dtype=np.float64)
    usual = float(weights @ sizes / weights.sum()) if sizes.any() else np.sqrt(USUAL)
    precision = PRIOR_SPREAD**-2 + float(weights @ sizes) / usual
    slope = (PRIOR_GAIN * PRIOR_SPREAD**-2 + float(weights @ gains)) / precision
    size = float(np.sqrt(share)) / usual
    # what will be measured has the error of such measurements, too
    measured = float(np.median(errors)) if len(told) else NOISE
    spread = float(np.sqrt(size**2 / precision + NOISE**2 + measured**2))
    return Forecast(
        gain=slope * size,
        low=slope * size - Z90 * spread,
        high=slope * size + Z90 * spread,
        cpu_s=_cost(past, n_events),
        n_past=len(past),
    )


def _errors(told: Sequence[Done]) -> npt.NDArray[np.float64]:
    """(R,) standard errors of measured gains, by how many judged each and one spread for all.

    Its own error says of a refresh how lucky it was, too: one that changed no list has none.
    """
    judged = np.array([done.n_judged or 1 for done in told], dtype=np.float64)
    own = np.array([done.gain_error or 0.0 for done in told])
    of_one = np.average(judged * own**2, weights=judged) if len(told) else 0.0
    return np.sqrt(of_one / judged)


def is_worth_it(said: Forecast, *, least_gain: float, most_cpu_s: float | None) -> tuple[bool, str]:
    """Whether to refresh, and why.

    Args:
        said: the forecast.
        least_gain: relative NDCG; a refresh that will hardly reach it is left for the next time.
        most_cpu_s: None: any cost.
    """
    if said.high < least_gain:
        return False, f"a gain of {said.high:+.2%} at best is less than {least_gain:.2%}"
    if most_cpu_s is not None and said.cpu_s is not None and said.cpu_s > most_cpu_s:
        return False, f"it would take {said.cpu_s:.0f} CPU seconds, more than {most_cpu_s:.0f}"
    return True, f"a gain of {said.gain:+.2%} [{said.low:+.2%}, {said.high:+.2%}] is expected"


def calibration(past: Sequence[Done]) -> dict[str, float]:
    """How well forecasts held: share within the interval (0.9 is right), errors, their number.

    ``expected`` and ``measured`` are means over all who judged, the errors over refreshes. Those
    without a forecast or without anybody to judge are left out.
    """
    told = [(d.predicted, d) for d in past if d.predicted is not None and d.gain is not None]
    if not told:
        return {"n": 0.0}
    gains = np.array([done.gain for _, done in told], dtype=np.float64)
    expected, low, high = np.array([[said.gain, said.low, said.high] for said, _ in told]).T
    judged = [done.n_judged or 1 for _, done in told]
    return {
        "n": float(len(told)),
        "within_90": float(((low <= gains) & (gains <= high)).mean()),
        "expected": float(np.average(expected, weights=judged)),
        "measured": float(np.average(gains, weights=judged)),
        "mean_error": float((expected - gains).mean()),
        "mean_absolute_error": float(np.abs(expected - gains).mean()),
    }


def _cost(past: Sequence[Done], n_events: int) -> float | None:
    if not past:
        return None
    events = np.array([d.n_events for d in past], dtype=np.float64)
    cpu_s = np.array([d.cpu_s for d in past])
    if len(past) < 3 or events.std() <= 0.1 * events.mean():  # no slope can be told
        return float(np.median(cpu_s))
    slope = max(0.0, float(np.cov(events, cpu_s)[0, 1] / events.var(ddof=1)))
    return float(np.median(cpu_s - slope * events)) + slope * n_events
