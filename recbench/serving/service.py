"""What the routes answer, apart from HTTP: bodies in, bodies out, one release each."""

import asyncio
import os
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, NamedTuple

import orjson

from recbench.errors import InputError
from recbench.serving.answer import (
    Answer,
    answer_list,
    answer_lists,
    answer_scores,
    popularity_list,
)
from recbench.serving.drawn import Chooser, chosen, widened
from recbench.serving.exchange import Headers, Refused
from recbench.serving.exposures import Exposures
from recbench.serving.inference_protocol import infer_response, parse_infer
from recbench.serving.live import LiveRelease
from recbench.serving.metrics import Metrics
from recbench.serving.options import Limits
from recbench.serving.requests import AskedList, AskedScores, parse_recommend, parse_score
from recbench.serving.served_release import ServedRelease
from recbench.serving.stored_user import StoredUser, StoreFailed, Users

__all__ = ["Listed", "Service", "wall_clock_us"]

RETRY_AFTER = (b"retry-after", b"1")
NUMPY = orjson.OPT_SERIALIZE_NUMPY
IDS_AT_ONCE = 512  # a call of the system for each would take as long as to parse a request


def wall_clock_us() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1_000


class Listed(NamedTuple):
    """A list for a client, and what is to be done once it is sent."""

    body: bytes
    note: Callable[[], None]


class Service:
    """Answers with the live release, what the online store knows, and a note to the exposures.

    Args:
        live: the release; a request takes it once.
        users: the online store; None: the releases' own histories, as of their watermark.
        exposures: told of each list.
        metrics: told of fallbacks.
        limits: of requests.
        now_us: the clock, asked only where there is an online store.
        explorer: leaves some slots to chance, or decides by a policy; None: all are by rule.
    """

    def __init__(
        self,
        live: LiveRelease,
        users: Users | None,
        exposures: Exposures,
        metrics: Metrics,
        *,
        limits: Limits,
        now_us: Callable[[], int] = wall_clock_us,
        explorer: Chooser | None = None,
    ) -> None:
        self.live, self.limits = live, limits
        self._users, self._exposures, self._metrics = users, exposures, metrics
        self._explorer = explorer
        self._request_ids = _request_ids()
        self._now_us = now_us if users is not None else lambda: None

    async def recommend(self, body: bytes) -> Listed:
        """The body of the answer to ``POST /recommend``, and what is to be done once it is sent.

        Raises:
            InputError: the request cannot be understood.
            Refused: no release is warm.
        """
        asked = widened(parse_recommend(body, self.limits), self._explorer)
        user, problem = await self._user(asked)
        release = self._release()  # once, and nothing waits from here on
        return self._listed(release, asked, self._answer(release, asked, user, problem))

    @property
    def waits_for_nothing(self) -> bool:
        """Whether ``recommend_all`` may be asked."""
        return self._users is None or self._users.at_once is not None

    def recommend_all(self, bodies: Sequence[bytes]) -> list[Listed | Refused | InputError]:
        """As ``recommend``, for requests that came together; what it raises, in its place."""
        results: dict[int, Listed | Refused | InputError] = {}
        known: dict[int, tuple[AskedList, StoredUser | None]] = {}
        for at, body in enumerate(bodies):
            try:
                asked = widened(parse_recommend(body, self.limits), self._explorer)
                release = self._release()  # the same for all: nothing waits in here
                user, problem = self._user_at_once(asked, release)
            except (Refused, InputError) as error:
                results[at] = error
                continue
            if problem is None or asked.history is not None:
                known[at] = asked, user
            else:
                results[at] = self._listed(
                    release, asked, self._answer(release, asked, user, problem)
                )
        results |= self._listed_together(known)
        return [results[at] for at in range(len(bodies))]

    def _listed_together(
        self, known: Mapping[int, tuple[AskedList, StoredUser | None]]
    ) -> dict[int, Listed]:
        if not known:
            return {}
        release = self._release()
        asked, users = zip(*known.values(), strict=True)
        answers = answer_lists(release, asked, users, now_us=self._now_us())
        for answer in answers:
            self._count(answer)
        each = zip(known, asked, answers, strict=True)
        return {at: self._listed(release, one, answer) for at, one, answer in each}

    async def score(self, body: bytes) -> bytes:
        """The body of the answer to ``POST /score``.

        Raises:
            InputError: the request cannot be understood.
            Refused: no release is warm, or its tower or the online store fails.
        """
        asked = parse_score(body, self.limits)
        user, problem = await self._user(asked)
        if problem is not None and asked.history is None:
            raise Refused(503, f"No scores without the online store: {problem}", [RETRY_AFTER])
        release = self._release()
        try:
            scores = answer_scores(release, asked, user, now_us=self._now_us())
        except Exception as error:
            raise Refused(503, f"The tower fails: {type(error).__name__}", [RETRY_AFTER]) from error
        request_id = str(next(self._request_ids))
        payload = {"request_id": request_id, "release": release.id, "scores": scores}
        return orjson.dumps(payload)

    async def infer(self, body: bytes, headers: Headers) -> tuple[bytes, Headers]:
        """Body and headers of the answer to the protocol's ``infer``; no exposures are noted.

        Raises:
            InputError: the request cannot be understood.
            Refused: no release is warm.
        """
        asked = parse_infer(body, headers, self.limits)
        known = [await self._user(row) for row in asked.rows]
        release, answers = self._release(), []
        for row, (user, problem) in zip(asked.rows, known, strict=True):
            answers.append(self._answer(release, row, user, problem))
            await asyncio.sleep(0)  # others have their turn between two rows
        payload, json_length = infer_response(asked, answers, release=release.id)
        if json_length is None:
            return payload, [(b"content-type", b"application/json")]
        length = (b"inference-header-content-length", b"%d" % json_length)
        return payload, [(b"content-type", b"application/octet-stream"), length]

    def require_version(self, version: str | None) -> None:
        """Nothing, if none is asked for, or the release that is served.

        Raises:
            Refused: another one is.
        """
        release = self.live.status.release
        if version not in {None, release}:
            raise Refused(404, f"Version {version} is not served here, but {release}")

    def _release(self) -> ServedRelease:
        release = self.live.now
        if release is None:
            why = self.live.status.refused or "no release is loaded yet"
            raise Refused(503, f"Not ready: {why}", [RETRY_AFTER])
        return release

    async def _user(self, asked: AskedList | AskedScores) -> tuple[StoredUser | None, str | None]:
        """What the store knows, or why it does not tell."""
        if self._users is None or asked.user_id is None:
            return None, None
        try:
            return await self._users.read(asked.user_id, at_us=asked.at_us), None
        except StoreFailed as failure:
            return None, f"online store: {failure}"

    def _user_at_once(
        self, asked: AskedList, release: ServedRelease
    ) -> tuple[StoredUser | None, str | None]:
        """As ``_user``, of a store that need not be waited for: just what the release looks at."""
        look_up = None if self._users is None else self._users.at_once
        if look_up is None or asked.user_id is None:
            return None, None
        try:
            known = look_up(
                asked.user_id,
                asked.at_us,
                names=release.window_names,
                since_us=release.watermark_us,  # of what was before, the release knows more
            )
        except StoreFailed as failure:
            return None, f"online store: {failure}"
        return known, None

    def _answer(
        self, release: ServedRelease, asked: AskedList, user: StoredUser | None, problem: str | None
    ) -> Answer:
        if problem is not None and asked.history is None:
            self._metrics.count("recbench_fallback_total", 'reason="store"')
            return popularity_list(release, asked, reason=problem)
        answer = answer_list(release, asked, user, now_us=self._now_us())
        self._count(answer)
        return answer

    def _count(self, answer: Answer) -> None:
        if answer.fallback is not None:
            reason = "tower" if answer.fallback == "popularity" else "ranker"
            self._metrics.count("recbench_fallback_total", f'reason="{reason}"')

    def _listed(self, release: ServedRelease, asked: AskedList, answer: Answer) -> Listed:
        request_id, ts_us = next(self._request_ids), wall_clock_us()
        if self._explorer is not None and asked.drawn_k is not None:
            answer = chosen(release, asked, answer, self._explorer)
            if answer.chances is not None and any(answer.chances.propensities):
                self._metrics.count("recbench_explored_total", "")

        def note() -> None:
            self._exposures.shown(
                answer.item_ids,
                user_id=asked.user_id,
                request_id=request_id,
                release=release.id,
                served=answer.served,
                ts_us=ts_us,
                chances=answer.chances,
            )

        return Listed(_list_body(answer, request_id, release.id), note)


def _request_ids() -> Iterator[int]:
    """Numbers from 0 to 2**63 - 1 that nobody can guess."""
    while True:
        for (number,) in struct.iter_unpack("<Q", os.urandom(8 * IDS_AT_ONCE)):
            yield number >> 1


def _list_body(answer: Answer, request_id: int, release: str) -> bytes:
    chances = answer.chances.propensities if answer.chances is not None else repeat(None)
    items = [
        {"item_id": item_id, "score": score, "position": position, "propensity": chance}
        for position, (item_id, score, chance) in enumerate(
            zip(answer.item_ids, answer.scores.tolist(), chances, strict=False)
        )
    ]
    payload: dict[str, Any] = {
        "request_id": str(request_id),
        "release": release,
        "items": items,
        "fallback": answer.fallback,
        "reason": answer.reason,
    }
    return orjson.dumps(payload)
