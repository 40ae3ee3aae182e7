"""Which index a catalogue needs: the cheapest that finds what an exact search finds."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from recbench.errors import InputError
from recbench.index.approximate import ApproximateIndex, ApproximateSettings
from recbench.index.exact import ExactIndex
from recbench.index.protocol import Floats, Index, Ints
from recbench.index.trained import Trained

__all__ = [
    "Choice",
    "Measured",
    "choose_index",
    "kept_index",
    "recall_at_k",
    "usual_settings",
]

EXACT_BELOW = 20_000  # candidates: a product with all is then as quick as anything else
CELLS_FROM = 50_000  # candidates: below, visiting some cells only gains nothing
OVERSAMPLES = (10, 25, 50, 100, 200)
HARDLY_ANY = 3  # oversample of halves, which lose next to nothing
USUALLY_PROBED, LEAST_PROBED = 1 / 8, 40  # of the cells
SCANNED_UP_TO = 300_000  # candidates: a scan of more halves takes milliseconds
PROBED = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2)  # of the cells
QUERIES_PER_BATCH = 8
EXACT_TIMED = 50  # queries: its recall is known
TIMED = 3  # times that a query is searched: the quickest counts, so that p99 is of hard queries
GROWN = 2.0  # a catalogue so many times as large is chosen for anew


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one index was measured to do; plain data, for a manifest."""

    settings: ApproximateSettings | None  # None: exact
    recall: float  # of the k best, mean over the queries
    worst_recall: float  # of one query
    p50_ms: float  # one query at a time, in process; of each query the quickest of three searches
    p99_ms: float
    build_s: float
    n_bytes: int

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The index to serve with, and all that was tried."""

    index: Index
    chosen: Measured
    tried: tuple[Measured, ...]
    in_time: bool  # whether the chosen one keeps the latency that was asked for


def choose_index(
    candidate_embeddings: Floats,
    queries: Floats,
    *,
    k: int = 20,
    least_recall: float = 0.99,
    p99_ms: float = 2.0,
    hidden: Ints | None = None,
    exact_below: int = EXACT_BELOW,
) -> Choice:
    """Exact for a small catalogue, else the quickest index that has the recall.

    Every kind of index is measured with rising effort until it has the recall; of those that have
    it, the one of least p99 is taken. Exact is taken where none has it.

    Args:
        candidate_embeddings: (C, D), by item row.
        queries: (Q, D) of real requests: recall on other vectors says nothing of these.
        k: list length.
        least_recall: of the exact k best.
        p99_ms: what one search may take, in process; a machine that is busy otherwise says more.
        hidden: rows never to be returned.
        exact_below: candidates up to which exact is taken at once.

    Raises:
        InputError: no queries.
    """
    if not len(queries):
        raise InputError("Recall is measured on real queries: `queries` holds none")
    hidden = np.empty(0, dtype=np.int64) if hidden is None else hidden
    exact = ExactIndex(candidate_embeddings, hidden)
    best = _exact_scores(exact, queries, k)
    first = _measured(exact, None, queries[:EXACT_TIMED], best[:EXACT_TIMED], build_s=0.0)
    found: list[tuple[Index, Measured]] = [(exact, first)]
    tried = [first]
    if len(candidate_embeddings) > exact_below:
        for settings in _kinds(len(candidate_embeddings)):
            start = time.perf_counter()
            built = ApproximateIndex.build(candidate_embeddings, settings, hidden=hidden)
            build_s = time.perf_counter() - start
            for effort in _efforts(settings):
                tuned = replace(built, settings=effort)
                tried.append(_measured(tuned, effort, queries, best, build_s=build_s))
                if tried[-1].recall >= least_recall:
                    found.append((tuned, tried[-1]))
                    break
    index, chosen = min(found, key=lambda pair: pair[1].p99_ms)
    return Choice(index, chosen, tuple(tried), chosen.p99_ms <= p99_ms)


def kept_index(
    candidate_embeddings: Floats,
    queries: Floats,
    *,
    settings: ApproximateSettings | None,
    trained: Trained,
    chosen_for: int,
    k: int = 20,
    least_recall: float = 0.99,
    p99_ms: float = 2.0,
    hidden: Ints | None = None,
    exact_below: int = EXACT_BELOW,
) -> Choice | None:
    """What was chosen for a catalogue, over what has become of it; None where it does not do.

    It does if it still has the recall, and the catalogue has not outgrown the choice.

    Args:
        candidate_embeddings: (C, D) as of now.
        queries: (Q, D) of real requests as of now.
        settings: chosen; None: exact.
        trained: of the chosen index.
        chosen_for: candidates that there were.
        k: list length.
        least_recall: of the exact k best.
        p99_ms: what one search may take.
        hidden: rows never to be returned.
        exact_below: candidates up to which exact is taken at once.

    Raises:
        InputError: no queries.
    """
    n = len(candidate_embeddings)
    hidden = np.empty(0, dtype=np.int64) if hidden is None else hidden
    if n <= exact_below or (settings is None and exact_below < chosen_for >= n / GROWN):
        # nothing is tried but exact, which has every recall
        return choose_index(
            candidate_embeddings, queries, k=k, p99_ms=p99_ms, hidden=hidden, exact_below=n
        )
    if settings is None or n > GROWN * chosen_for or n < settings.n_lists:
        return None
    best = _exact_scores(ExactIndex(candidate_embeddings, hidden), queries, k)
    start = time.perf_counter()
    index = ApproximateIndex.build(
        candidate_embeddings, settings, hidden=hidden, trained=trained.of_other_rows()
    )
    build_s = time.perf_counter() - start
    measured = _measured(index, settings, queries, best, build_s=build_s)
    if measured.recall < least_recall:
        return None
    return Choice(index, measured, (measured,), measured.p99_ms <= p99_ms)


def usual_settings(n_candidates: int) -> ApproximateSettings | None:
    """What mostly has the recall, for who has no queries to measure it on; None: search exactly.

    Cells of halves: on perturbed copies of trained catalogues (MovieTweetings, Yoochoose, a
    generated one) half the effort had a recall of .99, at 100 k and at 1 M. Packed codes are as
    quick at 100 k, but where popularity weighs much they had a recall of .66.
    """
    if n_candidates <= EXACT_BELOW:
        return None
    n_lists = round(n_candidates**0.5)
    n_probes = min(n_lists, max(LEAST_PROBED, round(n_lists * USUALLY_PROBED)))
    return ApproximateSettings(
        codes="fp16", n_lists=n_lists, n_probes=n_probes, oversample=HARDLY_ANY
    )


def recall_at_k(scores: Floats, best: Floats) -> Floats:
    """(Q,) share of the (Q, k) scores that an exact search's (Q, k) ``best`` would have listed.

    By score, so that of equal items it does not matter which was found.
    """
    n_there = np.isfinite(best).sum(axis=1)  # fewer than k where the catalogue ran out
    least = np.take_along_axis(best, np.maximum(n_there - 1, 0)[:, None], axis=1)
    # two orders of summation differ by a few units in the last place of the largest term
    slack = 1e-5 * np.maximum(np.abs(best).max(axis=1, where=np.isfinite(best), initial=1.0), 1.0)
    hits = (np.isfinite(scores) & (scores >= least - slack[:, None])).sum(axis=1)
    share: Floats = np.minimum(hits, n_there) / np.maximum(n_there, 1)
    return share


def _measured(
    index: Index,
    settings: ApproximateSettings | None,
    queries: Floats,
    best: Floats,
    *,
    build_s: float,
) -> Measured:
    """Recall against (Q, k) ``best``, the scores of an exact search, and latency alone."""
    k = best.shape[1]
    index.search(queries[:1], k=k)
    seconds, recalls = np.empty(len(queries)), np.empty(len(queries))
    for at in range(len(queries)):
        took = []
        for _ in range(TIMED):
            start = time.perf_counter()
            _, scores = index.search(queries[at : at + 1], k=k)
            took.append(time.perf_counter() - start)
        seconds[at] = min(took)
        recalls[at] = recall_at_k(scores, best[at : at + 1])[0]
    p50_ms, p99_ms = (float(q) for q in np.quantile(seconds * 1e3, [0.5, 0.99]))
    return Measured(
        settings=settings,
        recall=float(recalls.mean()),
        worst_recall=float(recalls.min()),
        p50_ms=p50_ms,
        p99_ms=p99_ms,
        build_s=build_s,
        n_bytes=index.n_bytes,
    )


def _exact_scores(exact: ExactIndex, queries: Floats, k: int) -> Floats:
    batches = (
        queries[start : start + QUERIES_PER_BATCH]
        for start in range(0, len(queries), QUERIES_PER_BATCH)
    )
    return np.concatenate([exact.search(batch, k=k)[1] for batch in batches])


def _kinds(n_candidates: int) -> Iterator[ApproximateSettings]:
    yield ApproximateSettings(codes="pq4")
    if n_candidates <= SCANNED_UP_TO:
        yield ApproximateSettings(codes="fp16", oversample=HARDLY_ANY)
    if n_candidates >= CELLS_FROM:
        n_lists = round(n_candidates**0.5)
        yield ApproximateSettings(codes="pq4", n_lists=n_lists, n_probes=1)
        yield ApproximateSettings(codes="fp16", n_lists=n_lists, n_probes=1)


def _efforts(settings: ApproximateSettings) -> Iterator[ApproximateSettings]:
    """From little to much."""
    if not settings.n_lists:
        for oversample in OVERSAMPLES if settings.codes == "pq4" else (HARDLY_ANY,):
            yield replace(settings, oversample=oversample)
        return
    for share in PROBED:
        n_probes = max(1, round(settings.n_lists * share))
        for oversample in OVERSAMPLES[1:4] if settings.codes == "pq4" else (HARDLY_ANY,):
            yield replace(settings, n_probes=n_probes, oversample=oversample)
