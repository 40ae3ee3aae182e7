"""RecBole's SASRec and GRU4Rec as rankers; run by the interpreter of their own environment.

JSON in, the file of its answer out. Imports nothing of recbench.
"""

import json
import sys
import time
from typing import Any

import numpy as np
import torch

# RecBole's own defaults of the models (properties/model/*.yaml)
SHARED = {
    "loss_type": "CE",
    "USER_ID_FIELD": "user_id",
    "ITEM_ID_FIELD": "item_id",
    "LIST_SUFFIX": "_list",
    "ITEM_LIST_LENGTH_FIELD": "item_length",
    "NEG_PREFIX": "neg_",
    "device": "cpu",
}
SASREC = {
    "n_layers": 2,
    "n_heads": 2,
    "hidden_size": 64,
    "inner_size": 256,
    "hidden_dropout_prob": 0.5,
    "attn_dropout_prob": 0.5,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "initializer_range": 0.02,
}
GRU4REC = {"embedding_size": 64, "hidden_size": 128, "num_layers": 1, "dropout_prob": 0.3}
BATCH_SIZE = 256  # in batches of RecBole's 2,048 a small log needs many times the epochs


class _Items:
    def __init__(self, n_items: int) -> None:
        self.n_items = n_items

    def num(self, _: str) -> int:
        return self.n_items


class _Config(dict[str, Any]):
    def __getattr__(self, name: str) -> Any:
        return self[name]


def _model(name: str, n_items: int, length: int) -> torch.nn.Module:
    from recbole.model.sequential_recommender import GRU4Rec, SASRec

    torch.autograd.set_detect_anomaly(False)  # RecBole's import turns it on: 30 % of the training
    kind, dials = {"SASRec": (SASRec, SASREC), "GRU4Rec": (GRU4Rec, GRU4REC)}[name]
    return kind(_Config(SHARED | dials | {"MAX_ITEM_LIST_LENGTH": length}), _Items(n_items + 1))


def _padded(flat: np.ndarray, starts: np.ndarray, ends: np.ndarray, length: int) -> np.ndarray:
    """(S, length) the last items of each stretch, padded on the right with 0."""
    starts = np.maximum(starts, ends - length)
    at = starts[:, None] + np.arange(length)
    return np.where(at < ends[:, None], flat[np.minimum(at, len(flat) - 1)], 0)


def rank(payload: dict[str, Any]) -> None:
    """Train, and after the asked epochs write the best items of each query with their scores.

    Each prefix of a sequence with its next item is a sample, as RecBole augments. Items are
    ``1 .. n_items``. ``data`` holds ``train, train_ends, asked, asked_ends``: flat sequences.
    """
    torch.set_num_threads(1)
    torch.manual_seed(payload["seed"])
    rng = np.random.default_rng(payload["seed"])
    data, length = np.load(payload["data"]), payload["length"]
    ends = data["train_ends"]
    starts = np.concatenate([[0], ends[:-1]])
    at = np.arange(len(data["train"]))
    first = np.repeat(starts, ends - starts)
    at, first = at[at > first], first[at > first]  # targets, and where their sequences begin
    model = _model(payload["model"], payload["n_items"], length)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    asked_ends = data["asked_ends"]
    asked_starts = np.concatenate([[0], asked_ends[:-1]])
    asked = _padded(data["asked"], asked_starts, asked_ends, length)
    asked_lengths = np.minimum(asked_ends - asked_starts, length)
    answers, trained_s = {}, 0.0
    for epoch in range(1, max(payload["epochs"]) + 1):
        start = time.process_time()
        model.train()
        order = rng.permutation(len(at))
        for begin in range(0, len(order), BATCH_SIZE):
            which = order[begin : begin + BATCH_SIZE]
            prefixes = _padded(data["train"], first[which], at[which], length)
            lengths = np.minimum(at[which] - first[which], length)
            loss = model.calculate_loss(
                {
                    "item_id_list": torch.from_numpy(prefixes),
                    "item_length": torch.from_numpy(lengths),
                    "item_id": torch.from_numpy(data["train"][at[which]]),
                }
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        trained_s += time.process_time() - start
        if epoch in payload["epochs"]:
            rows, scores, p99_ms = _best(model, asked, asked_lengths, payload["n_best"])
            answers |= {f"rows{epoch}": rows, f"scores{epoch}": scores, f"cpu_s{epoch}": trained_s}
    answers["examples_per_s"] = max(payload["epochs"]) * len(at) / max(trained_s, 1e-9)
    np.savez(payload["answer"], p99_ms=p99_ms, **answers)


@torch.no_grad()
def _best(
    model: Any, asked: np.ndarray, lengths: np.ndarray, n_best: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """(Q, N) items and scores, the best first, and the p99 of answering one query."""
    model.eval()

    def scored(begin: int, end: int) -> torch.Tensor:
        question = {
            "item_id_list": torch.from_numpy(asked[begin:end]),
            "item_length": torch.from_numpy(lengths[begin:end]),
        }
        scores = model.full_sort_predict(question)
        scores[:, 0] = -torch.inf
        return scores

    rows, scores = [], []
    for begin in range(0, len(asked), 512):
        best = scored(begin, begin + 512).topk(n_best, dim=1)
        rows.append(best.indices.numpy() - 1)
        scores.append(best.values.numpy())
    taken = []
    for number in range(min(200, len(asked))):
        start = time.perf_counter()
        scored(number, number + 1).topk(min(20, n_best), dim=1)
        taken.append(1e3 * (time.perf_counter() - start))
    p99_ms = float(np.quantile(taken, 0.99))
    return np.concatenate(rows), np.concatenate(scores).astype(np.float32), p99_ms


if __name__ == "__main__":
    rank(json.load(sys.stdin))
