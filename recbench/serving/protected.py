"""Items whose share of what is shown is kept: the long tail, or what is new to a release."""

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError
from recbench.policy.constraints import ExposureFloor
from recbench.serving.served_release import Retrieved, ServedRelease

__all__ = ["FloorDial", "Kind", "Protected", "protected_items"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Kind = Literal["tail", "new"]
KINDS = ("tail", "new")
HEAD = 0.1  # share of the items, by popularity, that is not the tail
NEW_US = 24 * 3_600_000_000  # before the watermark; what was first clicked since is new
MOST = 2_000  # protected items that are scored beside what is retrieved


class FloorDial(NamedTuple):
    """A least share of slots for one kind of items."""

    kind: Kind
    least: float
    free: float = 0.0  # share of requests that are made without it, so that its price can be told

    @classmethod
    def parse(cls, text: str) -> "FloorDial":
        """Of ``tail=0.3``, or ``tail=0.3,free=0.05``.

        Raises:
            InputError: anything else.
        """
        own, _, rest = text.partition(",")
        name, _, share = own.partition("=")
        word, _, freed = (rest or "free=0").partition("=")
        try:
            least, free = float(share), float(freed)
        except ValueError as error:
            raise InputError(
                f"A floor is tail=SHARE or new=SHARE, and perhaps ,free=SHARE; got {text!r}"
            ) from error
        if word != "free" or not 0 <= free <= 0.5:
            raise InputError(f"After a floor comes free=SHARE, from 0 to 0.5; got {rest!r}")
        if name not in KINDS:
            raise InputError(f"A floor is for {' or '.join(KINDS)}, got {name!r}")
        ExposureFloor(least=least)  # a share
        return cls("tail" if name == "tail" else "new", least, free)


class Protected(NamedTuple):
    """Items of one release."""

    is_protected: Bools  # (n_items,)
    rows: Ints  # (P,) the most popular of them, at most 2,000, scored beside what is retrieved
    embeddings: Floats  # (P, D) of these
    places: Ints  # (n_items,) of each item among ``rows``; -1: it is not there

    def best(self, query: Floats, *, k: int, barred: Ints) -> Retrieved:
        """At most ``k`` of ``rows`` with their scores, in no order, without the barred rows."""
        scores = self.embeddings @ query
        places = self.places[barred]
        scores[places[places >= 0]] = -np.inf
        found = np.argpartition(-scores, k)[:k] if k < len(scores) else np.arange(len(scores))
        found = found[scores[found] > -np.inf]
        return self.rows[found], scores[found]


def protected_items(release: ServedRelease, kind: Kind) -> Protected:
    """Which items of a release a floor is for.

    ``tail``: all but the most popular tenth of what may be shown. ``new``: what nobody had clicked
    until a day before the watermark, as far as the release knows.
    """
    by_popularity = release.popular[0]
    is_protected = np.zeros(len(release.items), dtype=np.bool_)
    if kind == "tail":
        is_protected[by_popularity[-int(-len(by_popularity) * HEAD // 1) :]] = True
    else:
        clicks = release.histories.clicks
        old = clicks.item_rows[clicks.ts <= release.watermark_us - NEW_US]
        is_protected[:] = True
        is_protected[old] = False
    is_protected &= ~release.is_hidden
    rows = by_popularity[is_protected[by_popularity]][:MOST]
    places = np.full(len(release.items), -1, dtype=np.int64)
    places[rows] = np.arange(len(rows))
    return Protected(is_protected, rows, release.candidate_embeddings[rows], places)
