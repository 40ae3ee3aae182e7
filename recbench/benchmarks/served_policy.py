"""What deciding a list costs a service: a policy's part of a request, on one core."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from recbench.evaluation.off_policy.reward import Reward
from recbench.index import ExactIndex
from recbench.policy.context import context_dim
from recbench.policy.decision import DecisionDials
from recbench.policy.item_counts import N_RATES
from recbench.policy.learner import Learner
from recbench.policy.logged_context import LoggedContexts
from recbench.serving.answer import Answer, Retrieval
from recbench.serving.decider import Decider
from recbench.serving.histories import ReleasedHistories, no_clicks
from recbench.serving.protected import FloorDial
from recbench.serving.requests import AskedList
from recbench.serving.served_release import ServedRelease
from recbench.tables.vocabulary import Vocabulary

__all__ = ["deciders", "release_of", "served_answers"]

EVENTS = 2_000


def deciders(release: ServedRelease, *, candidates: int, seed: int = 0) -> dict[str, Decider]:
    """Ready for the release: Thompson sampling alone, and with a floor under the long tail."""
    found = {}
    dials = DecisionDials(epsilon=0.1, candidates=candidates, least_events=1)
    with TemporaryDirectory() as folder:
        path = _snapshot(Path(folder) / "policy.safetensors", release, seed=seed)
        for name, floor in (("served", None), ("served_floor", FloorDial("tail", 0.3))):
            rng = np.random.default_rng(seed)
            found[name] = Decider(dials, snapshot=path, floor=floor, rng=rng)
            found[name].renew(release)
    return found


def served_answers(
    release: ServedRelease, n: int, *, k: int, candidates: int, seed: int = 0
) -> tuple[AskedList, list[Answer]]:
    """A widened request, and what was retrieved for ``n`` of its kind."""
    rng = np.random.default_rng(seed)
    size, dim = release.candidate_embeddings.shape
    answers = []
    for _ in range(n):
        rows = rng.choice(size, candidates, replace=False)
        query = rng.standard_normal((dim,), dtype=np.float32)
        scores = release.candidate_embeddings[rows] @ query
        made = Retrieval(rows, query, rows[:0])
        answers.append(Answer(release.items.ids[rows].tolist(), scores, {}, made=made))
    return AskedList(k=candidates, drawn_k=k), answers


def release_of(n_items: int, dim: int, *, seed: int = 0) -> ServedRelease:
    """As far as a policy looks at it: embeddings at random, popularity, no histories."""
    rng = np.random.default_rng(seed)
    embeddings = (rng.normal(size=(n_items, dim)) / np.sqrt(dim)).astype(np.float32)
    by_popularity = np.argsort(-embeddings[:, -1], kind="stable")
    nothing: Any = None  # neither a tower nor users are asked
    clicks = no_clicks()
    return ServedRelease(
        id="generated",
        fit="generated",
        items=Vocabulary(np.arange(n_items)),
        tower=nothing,
        index=ExactIndex(embeddings, by_popularity[:0]),
        candidate_embeddings=embeddings,
        is_hidden=np.zeros(n_items, dtype=np.bool_),
        popular=(by_popularity, embeddings[by_popularity, -1]),
        categories={},
        durations_ms=np.full(n_items, np.nan),
        histories=ReleasedHistories(
            clicks.item_rows, clicks.item_rows, clicks, nothing, nothing, clicks
        ),
        window_names=(),
        history_length=1,
        watermark_us=0,
        repeats=True,
    )


def _snapshot(path: Path, release: ServedRelease, *, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    n_items, dim = release.candidate_embeddings.shape
    learner = Learner(context_dim(dim, N_RATES), LoggedContexts(), window_us=1, reward=Reward())
    items = rng.integers(0, n_items, EVENTS)
    rewards = (rng.random(EVENTS) < 0.1).astype(np.float64)
    belief = learner.beliefs.of(release.fit)
    belief.learn(rng.normal(size=(EVENTS, belief.dim)), rewards)
    learner.counts.add(items, rewards, np.arange(EVENTS))
    learner.save(path)
    return path
