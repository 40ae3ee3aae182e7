"""Which refreshes are worth making: a rule that looks at what has come and at nothing later."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from recbench.refresh.forecast import Forecast
from recbench.tables.click_stream import ClickStream

__all__ = ["waiting_clicks", "worth_making"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

DAY_US = 86_400_000_000  # how far back arrivals are looked at …
FEWEST = 20  # … but at least so many windows


def worth_making(
    instants: Ints,
    stream: ClickStream,
    *,
    start: int,
    every: int,
    budget: float,
    said: Callable[[int, float], Forecast],
) -> Bools:
    """Which instants are worth a release: clicks on items that it would add promise enough.

    Enough is what, over the day before the instant, would have left ``budget`` of the refreshes,
    and more than nothing: where a forecast expects no gain of any refresh, none is made.

    Args:
        instants: ascending microseconds.
        stream: the log; of an instant only how much was known until then is used.
        start: microseconds, of the release that is there.
        every: microseconds between two instants.
        budget: in (0, 1]: the share of a day's refreshes that may be made.
        said: from new clicks and the share of the log that they are, what they promise.
    """
    last, made = start, np.zeros(len(instants), dtype=bool)
    for number, at in enumerate(instants.tolist()):
        waiting = waiting_clicks(stream, last, at)
        least = _least(stream, at, every=every, budget=budget)
        n_known = int(stream.n_known(at))
        promised, wanted = (said(n, n / n_known).gain for n in (waiting, least))
        if promised >= wanted and promised > 0:
            made[number], last = True, at
    return made


def waiting_clicks(stream: ClickStream, since: int, at: int) -> int:
    """New clicks, known between two instants, on items that a release as of the first lacks."""
    low, high = stream.n_known(np.array([since, at]))
    return int((stream.first_known[stream.item_rows[low:high]] >= since).sum())


def _least(stream: ClickStream, at: int, *, every: int, budget: float) -> int:
    """The fewest clicks waiting that may make a release, for the last day to keep the budget."""
    n_windows = max(FEWEST, DAY_US // every)
    edges = at - every * np.arange(n_windows, -1, -1)
    n_busy = int((np.diff(stream.n_known(edges)) > 0).sum())
    low, high = 1, max(1, waiting_clicks(stream, int(edges[0]), at))
    while low < high:
        middle = (low + high) // 2
        if _n_made(stream, edges.tolist(), middle) > budget * n_busy:
            low = middle + 1
        else:
            high = middle
    return low


def _n_made(stream: ClickStream, edges: list[int], least: int) -> int:
    made, last = 0, edges[0]
    for at in edges[1:]:
        if waiting_clicks(stream, last, at) >= least:
            made, last = made + 1, at
    return made
