"""Answers of RecTools and RecBole: a question's name as argument, JSON in and out."""

import json
import sys

import numpy as np
import pandas as pd


def rectools_metrics(payload: dict) -> dict:
    """Mean metrics over the users with something relevant."""
    from rectools.metrics import MRR, NDCG, HitRate, Precision, Recall, calc_metrics

    k = payload["k"]
    metrics = {
        "ndcg": NDCG(k=k, divide_by_achievable=True),
        "ndcg_ideal_k_hits": NDCG(k=k),
        "recall": Recall(k=k),
        "precision": Precision(k=k),
        "mrr": MRR(k=k),
        "hit_rate": HitRate(k=k),
    }
    lists, relevant = pd.DataFrame(payload["lists"]), pd.DataFrame(payload["relevant"])
    return {name: float(v) for name, v in calc_metrics(metrics, lists, relevant).items()}


class _Log:
    """What RecBole's models ask of a data set: its sizes and its matrix."""

    def __init__(self, clicks: list[list[int]]) -> None:
        from scipy import sparse

        self.matrix = sparse.csr_matrix(np.array(clicks, dtype=np.float32))

    def num(self, field: str) -> int:
        return self.matrix.shape[0 if field == "user_id" else 1]

    def inter_matrix(self, form: str) -> object:
        return self.matrix.asformat(form)


class _Config(dict):
    device = "cpu"


def recbole_scores(payload: dict) -> dict:
    """Every user's scores of every item, from RecBole's model of that name."""
    import torch
    from recbole.model.general_recommender import EASE, ItemKNN

    fields = {"USER_ID_FIELD": "user_id", "ITEM_ID_FIELD": "item_id", "NEG_PREFIX": "neg_"}
    config = _Config(fields | {"device": "cpu"} | payload["options"])
    model = {"EASE": EASE, "ItemKNN": ItemKNN}[payload["model"]](config, _Log(payload["clicks"]))
    users = torch.arange(len(payload["clicks"]))
    scores = model.full_sort_predict({"user_id": users})
    return {"scores": np.asarray(scores, dtype=float).reshape(len(users), -1).tolist()}


if __name__ == "__main__":
    questions = {"rectools_metrics": rectools_metrics, "recbole_scores": recbole_scores}
    print(json.dumps(questions[sys.argv[1]](json.load(sys.stdin))))
