"""One request, one release: the list or the scores that answer it."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from recbench.serving.histories import Clicks, KnownUser, no_clicks
from recbench.serving.requests import LATEST, AskedList, AskedScores, GivenHistory
from recbench.serving.served_release import Retrieved, ServedRelease
from recbench.serving.stored_user import StoredUser

__all__ = [
    "Answer",
    "Chances",
    "Floored",
    "Retrieval",
    "answer_list",
    "answer_lists",
    "answer_scores",
    "popularity_list",
]

logger = logging.getLogger(__name__)

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Fallback = Literal["popularity", "retrieval"]


class Chances(NamedTuple):
    """Of the items of a list; None where a slot was filled by rule, which no estimate can use."""

    propensities: list[float | None]  # given what stands above
    slot_propensities: list[float | None]  # whatever stands above
    least: float  # what the budget promises
    contexts: list[str] | None = None  # what a policy saw of each, for whoever learns from it
    towers: str | None = None  # the full fit that these go back to
    floor: "Floored | None" = None  # None: there is no floor


class Floored(NamedTuple):
    """What a floor's price can be estimated by."""

    is_kept: bool  # by this list; a share of lists is free of the floor, by chance
    chance: float  # of its being kept, or free, as it was
    is_protected: list[bool]  # of the items


class Retrieval(NamedTuple):
    """What a list of the tower was made of, for what may re-rank it."""

    rows: Ints  # (K,) of the items
    query: Floats  # (D,)
    excluded: Ints  # rows that this request is not shown


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A list, best first, and what it was made of."""

    item_ids: list[int]
    scores: Floats  # (K,)
    served: dict[str, Any]  # window features that the tower was given
    fallback: Fallback | None = None
    reason: str | None = None
    chances: Chances | None = None  # None: the whole list is by rule
    made: Retrieval | None = None  # None: a popularity list


def answer_list(
    release: ServedRelease, asked: AskedList, user: StoredUser | None, *, now_us: int | None = None
) -> Answer:
    """The list of one release.

    A tower or an index that fails is logged, and the answer is the release's popularity list.

    Args:
        release: everything the answer is made of.
        asked: the request.
        user: what the online store knows; None: the release's own histories serve.
        now_us: the instant of a request that names none, microseconds since the epoch; default:
            just after the release's watermark.
    """
    known = _known(release, asked, user, now_us)
    excluded = _excluded(release, asked, known.seen)
    try:
        ((retrieved, query),) = _retrieved(release, [asked], [known], [excluded])
    except Exception as error:  # whatever a runtime raises, there is a list
        logger.exception("Release %s does not answer; popularity does", release.id)
        return _popularity(release, asked, excluded, reason=f"tower: {type(error).__name__}")
    return _answer(release, asked, known, retrieved, Retrieval(retrieved[0], query, excluded))


def answer_lists(
    release: ServedRelease,
    asked: Sequence[AskedList],
    users: Sequence[StoredUser | None],
    *,
    now_us: int | None = None,
) -> list[Answer]:
    """The lists of several requests, by one call of the tower; otherwise as ``answer_list``.

    Where that fails, each is answered by itself: only the one at fault gets the popularity list.
    """
    known = [_known(release, one, user, now_us) for one, user in zip(asked, users, strict=True)]
    excluded = [_excluded(release, one, of.seen) for one, of in zip(asked, known, strict=True)]
    try:
        retrieved = _retrieved(release, asked, known, excluded)
    except Exception:  # whatever a runtime raises
        logger.exception("Release %s does not answer them together; each is asked", release.id)
        each = zip(asked, users, strict=True)
        return [answer_list(release, one, user, now_us=now_us) for one, user in each]
    return [
        _answer(release, one, of, found, Retrieval(found[0], query, barred))
        for one, of, (found, query), barred in zip(asked, known, retrieved, excluded, strict=True)
    ]


def popularity_list(release: ServedRelease, asked: AskedList, *, reason: str) -> Answer:
    """The release's popularity list for this request, marked as such.

    It leaves out what the release has seen of the user, as any list of it does.
    """
    known = _known(release, asked, None, None)
    return _popularity(release, asked, _excluded(release, asked, known.seen), reason=reason)


def answer_scores(
    release: ServedRelease,
    asked: AskedScores,
    user: StoredUser | None,
    *,
    now_us: int | None = None,
) -> list[float | None]:
    """A score an item; None where the release does not know the item.

    Raises:
        Exception: whatever the tower raises; a score has no fallback.
    """
    known = _known(release, asked, user, now_us)
    rows = release.items.rows(asked.item_ids)
    held = np.flatnonzero(rows >= 0)
    answer: list[float | None] = [None] * len(rows)
    scores = release.scores(known, rows[held])
    for at, score in zip(held.tolist(), scores.tolist(), strict=True):
        answer[at] = score
    return answer


def _retrieved(
    release: ServedRelease,
    asked: Sequence[AskedList],
    known: Sequence[KnownUser],
    excluded: Sequence[Ints],
) -> list[tuple[Retrieved, Floats]]:
    """The best of each, and its query; those that ask alike are searched for together."""
    queries = release.query_embeddings(known)
    alike: dict[tuple[int, tuple[str, ...] | None], list[int]] = {}
    for at, one in enumerate(asked):
        alike.setdefault((one.k, one.categories), []).append(at)
    found: dict[int, Retrieved] = {}
    for (k, categories), places in alike.items():
        chosen = [excluded[at] for at in places]
        depth = release.depth(k)
        own = queries if len(places) == len(asked) else queries[places]
        best = release.best(own, k=depth, excluded=chosen, categories=categories)
        found.update(zip(places, best, strict=True))
    return [(found[at], queries[at]) for at in range(len(asked))]


def _answer(
    release: ServedRelease,
    asked: AskedList,
    known: KnownUser,
    retrieved: Retrieved,
    made: Retrieval,
) -> Answer:
    """Ranked, where the release has a ranker; one that fails leaves the order as retrieved."""
    rows, scores = retrieved
    fallback: Fallback | None = None
    reason = None
    if release.ranker is not None:
        try:
            rows, scores = release.ranked(
                known, retrieved, k=asked.k, excluded=made.excluded, categories=asked.categories
            )
        except Exception as error:  # whatever a runtime raises, there is a list
            logger.exception("The ranker of release %s does not answer", release.id)
            rows, scores = rows[: asked.k], scores[: asked.k]
            fallback, reason = "retrieval", f"ranker: {type(error).__name__}"
    served = dict(zip(release.window_names, known.window.tolist(), strict=True))
    ids = release.items.ids[rows].tolist()
    return Answer(ids, scores, served, fallback, reason, made=made._replace(rows=rows))


def _popularity(release: ServedRelease, asked: AskedList, excluded: Ints, *, reason: str) -> Answer:
    rows, scores = release.most_popular(k=asked.k, excluded=excluded, categories=asked.categories)
    return Answer(release.items.ids[rows].tolist(), scores, {}, "popularity", reason)


def _excluded(release: ServedRelease, asked: AskedList, seen: Ints) -> Ints:
    repeats = release.repeats if asked.repeats is None else asked.repeats == "allow"
    excluded = seen[:0] if repeats else seen
    if asked.exclude_items is not None:
        rows = release.items.rows(asked.exclude_items)
        excluded = np.concatenate([excluded, rows[rows >= 0]])
    return excluded


def _known(
    release: ServedRelease,
    asked: AskedList | AskedScores,
    user: StoredUser | None,
    now_us: int | None,
) -> KnownUser:
    """The clicks of the request if it names any, else the release's and then the store's."""
    row = release.histories.row(asked.user_id)
    own = release.histories.clicks_of(row)
    at_us = release.watermark_us + 1 if now_us is None else now_us
    if user is not None:
        at_us = user.at_us
    elif asked.at_us is not None:
        at_us = asked.at_us
    if asked.history is not None:
        clicks, at_us = _given(release, asked.history, at_us=at_us, fixed=asked.at_us is not None)
        seen = np.concatenate([own.item_rows, clicks.item_rows])
    else:
        clicks = own if user is None else own.followed_by(_since(release, user))
        seen = clicks.item_rows
    window = release.histories.window_of(row) if user is None else _window(release, user)
    return KnownUser(clicks, seen, window, at_us)


def _given(
    release: ServedRelease, history: GivenHistory, *, at_us: int, fixed: bool
) -> tuple[Clicks, int]:
    """The clicks that a client names, and the instant just after them.

    Unknown items are left out, and so is what lies after a ``fixed`` instant.
    """
    rows, ts = release.items.rows(history.item_ids), history.ts
    timed = ts != LATEST
    kept = rows >= 0
    if fixed:
        kept &= (ts < at_us) | ~timed
    elif timed.any():
        at_us = max(at_us, int(ts[timed].max()) + 1)
    return Clicks(rows[kept], np.where(timed, ts, at_us)[kept], history.watch_ratio[kept]), at_us


def _since(release: ServedRelease, user: StoredUser) -> Clicks:
    """What the store saw after the release's watermark; up to there the release knows more."""
    clicks = user.clicks
    after = int(clicks.ts.searchsorted(release.watermark_us, side="right"))
    if after == len(clicks.ts):
        return no_clicks()
    rows = release.items.rows(clicks.item_ids[after:])
    kept = rows >= 0
    watched = release.watched(rows[kept], clicks.watch_ms[after:][kept])
    return Clicks(rows[kept], clicks.ts[after:][kept], watched)


def _window(release: ServedRelease, user: StoredUser) -> Floats:
    """(W,) float32; 0 for a feature without a value, as in training."""
    values = [user.features.get(name) or 0 for name in release.window_names]
    return np.array(values, dtype=np.float32)
