"""The blend's dials, chosen on the last fifth of what is before the test."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recbench.errors import InputError
from recbench.jobs.freshness.asked import Asked
from recbench.jobs.freshness.lists import looked_up
from recbench.jobs.freshness.walk import HISTORY, MASKED
from recbench.models.streaming.blend import BlendDials
from recbench.models.streaming.kernels import history_weights
from recbench.models.streaming.neighbours import Neighbours, strongest
from recbench.models.streaming.popular import FadingPopularity
from recbench.models.streaming.transitions import Transitions
from recbench.tables.click_stream import ClickStream
from recbench.tables.log import EventLog

__all__ = ["tune_blend"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Variant = tuple[float, ...]

REQUESTS = 2_000
SHARES = (
    0.8,
    0.85,
    0.9,
    0.95,
)  # of the clicks: where states are taken, each judged on what follows
POPULAR = 200  # items, the best of each part, that may compete
SWEEPS = 3

# what each part may look like: its dials in the order of their names
FOLLOW = ((2, 1.0), (5, 0.5), (5, 1.0), (5, 2.0))  # reach, follow_fade
ALIKE = ((0.0,), (0.5,), (1.0,))  # alike_fade
REPEAT = ((0.0,), (0.5,), (1.0,), (2.0,))  # repeat_fade
POPULARITY = tuple((hours * 3600.0,) for hours in (3, 12, 48, 192, 768))  # half_life_s
WEIGHTS = (0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
NAMES = {
    "follow": ("reach", "follow_fade"),
    "alike": ("alike_fade",),
    "repeat": ("repeat_fade",),
    "popular": ("half_life_s",),
}


@dataclass(frozen=True, slots=True, eq=False)
class _Trial:
    """P competing pairs of a request and an item, with what each part says of them."""

    owner: Ints  # (P,)
    target: Ints  # (Q,) which pair is the item that was clicked
    parts: Mapping[str, Mapping[Variant, Floats]]  # by part and variant, (P,)


def tune_blend(log: EventLog, *, k: int = 20, seed: int = 0) -> BlendDials:
    """The dials of largest NDCG on requests of the log's last fifth, by coordinates.

    Args:
        log: what is before the test.
        k: list length.
        seed: of the requests that are drawn.

    Returns:
        The defaults, where too little is there to choose by.
    """
    stream = ClickStream.of(log.events)
    cuts = np.unique(stream.known_at[[int(share * len(stream)) for share in SHARES]])
    end = int(stream.known_at[-1]) + 1
    try:
        asked = Asked.of(log, stream, [(int(cuts[0]), end)], most=REQUESTS, seed=seed)
    except InputError:
        return BlendDials()
    trials = [
        _trial(stream, asked, low, high, cut=int(cut), repeats=log.repeats)
        for cut, low, high in _spans(asked, cuts)
    ]
    return _best([trial for trial in trials if len(trial.target)], k=k)


def _spans(asked: Asked, cuts: Ints) -> list[tuple[int, int, int]]:
    bounds = [*np.searchsorted(asked.ts, cuts).tolist(), len(asked)]
    return [*zip(cuts.tolist(), bounds[:-1], bounds[1:], strict=True)]


def _trial(
    stream: ClickStream, asked: Asked, low: int, high: int, *, cut: int, repeats: bool
) -> _Trial:
    """The requests [low, high) to the states as of ``cut``; histories are fresh."""
    users, items = asked.user_rows[low:high], asked.item_rows[low:high]
    n_known, n_items = stream.n_known(asked.ts[low:high]), len(stream.items)
    histories = stream.histories(users, n_known, length=HISTORY)
    parts: dict[str, dict[Variant, sparse.csr_matrix]] = {
        "follow": {
            (reach, fade): Transitions.nothing(n_items, reach=reach, back=1.0, fade=fade)
            .learned(stream, to=cut)
            .scores(histories)
            for reach, fade in FOLLOW
        },
        "alike": {
            (fade,): Neighbours.nothing(len(stream.users), n_items, fade=fade)
            .learned(stream, to=cut)
            .scores(histories)
            for (fade,) in ALIKE
        },
        "repeat": {
            (fade,): history_weights(histories, n_items=n_items, fade=fade) for (fade,) in REPEAT
        },
    }
    popular: dict[Variant, Floats] = {
        (half_life_s,): FadingPopularity.nothing(n_items, half_life_s=half_life_s)
        .learned(stream, to=cut)
        .shares
        for (half_life_s,) in POPULARITY
    }
    seen = None if repeats else stream.histories(users, n_known, length=MASKED).item_rows
    owner, columns = _pairs(parts, popular, items, seen, n_items=n_items)
    target = np.searchsorted(owner * n_items + columns, np.arange(len(items)) * n_items + items)
    found: dict[str, dict[Variant, Floats]] = {
        name: {key: looked_up(of, owner, columns) for key, of in variants.items()}
        for name, variants in parts.items()
    }
    found["popular"] = {key: shares[columns] for key, shares in popular.items()}
    return _Trial(owner, target, found)


def _pairs(
    parts: Mapping[str, Mapping[Variant, sparse.csr_matrix]],
    popular: Mapping[Variant, Floats],
    items: Ints,
    seen: Ints | None,
    *,
    n_items: int,
) -> tuple[Ints, Ints]:
    """Ascending (request, item) of all that has a score or is popular, and of what was clicked."""
    first = np.arange(len(items))[:, None] * n_items
    keys = [np.arange(len(items)) * n_items + items]
    for variants in parts.values():
        for scores in variants.values():
            held = strongest(scores, POPULAR).tocoo()
            keys.append(held.row.astype(np.int64) * n_items + held.col)
    for shares in popular.values():
        keys.append((first + np.argsort(-shares, kind="stable")[:POPULAR]).ravel())
    every = np.unique(np.concatenate(keys))
    if seen is not None:
        every = np.setdiff1d(every, (first + seen)[seen >= 0], assume_unique=False)
        every = np.union1d(every, keys[0])
    return every // n_items, every % n_items


def _best(trials: list[_Trial], *, k: int) -> BlendDials:
    """One coordinate after another, weights and variants, until a sweep changes nothing."""
    dials = BlendDials(reach=5, half_life_s=48 * 3600.0)
    best = _ndcg(trials, dials, k=k)
    variants = {"follow": FOLLOW, "alike": ALIKE, "repeat": REPEAT, "popular": POPULARITY}
    for _ in range(SWEEPS):
        before = dials
        for name, looks in variants.items():
            changes = [{name: weight} for weight in WEIGHTS if weight or name != "popular"]
            changes += [dict(zip(NAMES[name], look, strict=True)) for look in looks]
            for change in changes:
                tried = replace(dials, **change)  # type: ignore[arg-type]  # dials by name
                value = _ndcg(trials, tried, k=k)
                if value > best:
                    best, dials = value, tried
        if dials == before:
            break
    return dials


def _ndcg(trials: list[_Trial], dials: BlendDials, *, k: int) -> float:
    gains = []
    for trial in trials:
        total = np.zeros(len(trial.owner))
        for name, names in NAMES.items():
            weight = getattr(dials, name)
            if weight:
                look = tuple(getattr(dials, dial) for dial in names)
                total += weight * trial.parts[name][look]
        ahead = total >= total[trial.target][trial.owner]
        rank = np.bincount(trial.owner[ahead], minlength=len(trial.target))
        gains.append(np.where(rank <= k, 1 / np.log2(rank + 1), 0.0))
    return float(np.concatenate(gains).mean())
