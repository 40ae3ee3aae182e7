"""SASRec and GRU4Rec of RecBole, in their own environment, as models of a contest."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from recbench.benchmarks.peers_python import peers_python
from recbench.errors import InputError, JobError
from recbench.tables.queries import InteractionLog, Queries
from recbench.tables.vocabulary import Vocabulary

__all__ = ["PEERS", "ForeignLists", "foreign_lists"]

PEERS = ("SASRec", "GRU4Rec")
SCRIPT = Path(__file__).parents[1] / "foreign" / "peers_ranking.py"
N_BEST = 500  # items of each answer that come back


@dataclass(frozen=True, slots=True, eq=False)
class ForeignLists:
    """What a model elsewhere answered to given queries; only those can be asked for again.

    Scores are shares of the span between the best and the worst item that came back; 0 for all
    others.
    """

    items: Vocabulary
    asked: dict[tuple[int, int], int]  # (user id, instant) -> row of the answers
    rows: npt.NDArray[np.int64]  # (Q, N)
    scores: npt.NDArray[np.float32]  # (Q, N), in [0, 1]

    @classmethod
    def of(
        cls, queries: Queries, rows: npt.NDArray[np.int64], scores: npt.NDArray[np.float32]
    ) -> Self:
        """Answers to all ``queries``, the best first."""
        pairs = zip(queries.user_ids.tolist(), queries.ts.tolist(), strict=True)
        asked = {pair: row for row, pair in enumerate(pairs)}
        span = np.maximum(scores[:, :1] - scores[:, -1:], 1e-6)
        return cls(queries.items, asked, rows, (scores - scores[:, -1:]) / span)

    def score_items(self, queries: Queries) -> npt.NDArray[np.float32]:
        """(Q, n_items).

        Raises:
            InputError: a query that was not among those asked.
        """
        pairs = list(zip(queries.user_ids.tolist(), queries.ts.tolist(), strict=True))
        if unknown := [pair for pair in pairs if pair not in self.asked]:
            raise InputError(f"User and instant {unknown[0]} were not among the queries asked")
        which = np.array([self.asked[pair] for pair in pairs], dtype=np.int64)
        every = np.zeros((len(queries), len(self.items)), dtype=np.float32)
        np.put_along_axis(every, self.rows[which], self.scores[which], axis=1)
        return every


def foreign_lists(
    name: str,
    log: InteractionLog,
    queries: Queries,
    *,
    epochs: Sequence[int],
    length: int = 50,
    seed: int = 0,
) -> tuple[dict[int, ForeignLists], dict[str, float]]:
    """Answers after each of ``epochs``, and ``cpu_s`` of all, ``examples_per_s``, ``p99_ms``.

    Args:
        name: one of ``PEERS``.
        log: what it learns from, a sequence a user.
        queries: each with a history.
        epochs: after which it is asked.
        length: of sequences.
        seed: of weights and order.

    Raises:
        InputError: the environment is not built.
        JobError: it failed.
    """
    python = peers_python()
    if python is None:
        raise InputError("RecBole is not there: run `make env-peers`, or leave peers out")
    _, at = queries.events()
    with TemporaryDirectory() as folder:
        data, answer = Path(folder, "data.npz"), Path(folder, "answer.npz")
        np.savez(
            data,
            train=log.item_rows + 1,
            train_ends=np.append(np.flatnonzero(np.diff(log.user_rows)) + 1, len(log)),
            asked=queries.log.item_rows[at] + 1,
            asked_ends=np.cumsum(queries.lengths),
        )
        payload: dict[str, Any] = {
            "model": name,
            "data": str(data),
            "answer": str(answer),
            "n_items": len(log.items),
            "epochs": list(epochs),
            "length": length,
            "n_best": min(N_BEST, len(log.items)),
            "seed": seed,
        }
        done = subprocess.run(
            [python, SCRIPT], input=json.dumps(payload), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise JobError(f"{name} failed: {done.stderr[-2_000:]}")
        with np.load(answer) as found:
            lists = {
                epoch: ForeignLists.of(queries, found[f"rows{epoch}"], found[f"scores{epoch}"])
                for epoch in epochs
            }
            figures = {key: float(found[key]) for key in ("examples_per_s", "p99_ms")}
            figures["cpu_s"] = float(found[f"cpu_s{max(epochs)}"])
    return lists, figures
