"""RecTools and RecBole at training, timed; run by the interpreter of their own environment.

The library's name as argument, JSON in and out. Imports nothing of recbench.
"""

import json
import sys
import time
from typing import Any

import numpy as np
import pandas as pd


def rectools(payload: dict[str, Any]) -> dict[str, Any]:
    """CPU seconds of SASRec's epochs alone, and how many target positions they supervised.

    A user's last L + 1 events are one sequence; every position but padding is a target, against
    all items (``softmax``) or ``n_negatives`` drawn for each position (``sampled_softmax``).
    """
    import torch
    from pytorch_lightning import Callback, Trainer
    from rectools.dataset import Dataset
    from rectools.models import SASRecModel

    class Clock(Callback):
        def __init__(self) -> None:
            self.cpu_s = self.positions = 0.0

        def on_train_start(self, *_: Any) -> None:
            self.cpu_s = -time.process_time()

        def on_train_batch_end(self, *arguments: Any) -> None:
            self.positions += int((arguments[3]["y"] != 0).sum())

        def on_train_end(self, *_: Any) -> None:
            self.cpu_s += time.process_time()

    torch.set_num_threads(1)
    torch.manual_seed(payload["seed"])
    model = SASRecModel(
        n_blocks=payload["n_layers"],
        n_heads=payload["n_heads"],
        n_factors=payload["dim"],
        session_max_len=payload["length"],
        dropout_rate=0.0,
        loss=payload["loss"],
        n_negatives=payload["n_negatives"],
        batch_size=payload["batch_size"],
        lr=1e-3,
        get_trainer_func=lambda: Trainer(
            max_epochs=payload["epochs"],
            accelerator="cpu",
            callbacks=[Clock()],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        ),
    )
    log = pd.DataFrame(payload["log"]).assign(weight=1.0)
    model.fit(Dataset.construct(log.assign(datetime=pd.to_datetime(log["datetime"], unit="us"))))
    # RecTools trains with a copy of the trainer and its callbacks
    clock = next(each for each in model.fit_trainer.callbacks if isinstance(each, Clock))
    return {"cpu_s": clock.cpu_s, "positions": clock.positions}


class _Items:
    def __init__(self, n_items: int) -> None:
        self.n_items = n_items

    def num(self, _: str) -> int:
        return self.n_items


class _Config(dict[str, Any]):
    def __getattr__(self, name: str) -> Any:
        return self[name]


# RecBole's own defaults of SASRec (properties/model/SASRec.yaml) and of its trainer
RECBOLE = {
    "n_layers": 2,
    "n_heads": 2,
    "hidden_size": 64,
    "inner_size": 256,
    "hidden_dropout_prob": 0.5,
    "attn_dropout_prob": 0.5,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "initializer_range": 0.02,
    "loss_type": "CE",
    "USER_ID_FIELD": "user_id",
    "ITEM_ID_FIELD": "item_id",
    "LIST_SUFFIX": "_list",
    "ITEM_LIST_LENGTH_FIELD": "item_length",
    "NEG_PREFIX": "neg_",
    "MAX_ITEM_LIST_LENGTH": 50,
    "device": "cpu",
}
BATCH_SIZE = 2_048


def recbole(payload: dict[str, Any]) -> dict[str, Any]:
    """SASRec's lists for the asked users after each epoch, and the CPU seconds trained till then.

    Each prefix of a sequence with its next item is a sample, as RecBole augments. Items are
    ``1 .. n_items`` (0 pads). Lists leave out what the user has seen.
    """
    import torch
    from recbole.model.sequential_recommender import SASRec

    torch.autograd.set_detect_anomaly(False)  # that import turns it on: 30 % of the training
    torch.set_num_threads(1)
    torch.manual_seed(payload["seed"])
    rng = np.random.default_rng(payload["seed"])
    model = SASRec(_Config(RECBOLE), _Items(payload["n_items"] + 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    samples = [
        (*_padded(seq[:at]), seq[at]) for seq in payload["train"] for at in range(1, len(seq))
    ]
    prefixes, lengths, targets = (
        torch.tensor(np.array(part)) for part in zip(*samples, strict=True)
    )
    asked = [_padded(seq) for seq in payload["asked"]]
    histories, asked_lengths = (torch.tensor(np.array(part)) for part in zip(*asked, strict=True))
    epochs, trained_s, began = [], 0.0, time.process_time()
    while time.process_time() - began < payload["cpu_s"]:
        start = time.process_time()
        model.train()
        for which in torch.tensor(rng.permutation(len(targets))).split(BATCH_SIZE):
            loss = model.calculate_loss(
                {
                    "item_id_list": prefixes[which],
                    "item_length": lengths[which],
                    "item_id": targets[which],
                }
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        trained_s += time.process_time() - start
        model.eval()
        with torch.no_grad():
            question = {"item_id_list": histories, "item_length": asked_lengths}
            scores = model.full_sort_predict(question)
        scores[:, 0] = -torch.inf
        for row, seq in enumerate(payload["asked"]):
            scores[row, seq] = -torch.inf
        lists = scores.topk(payload["k"], dim=1).indices
        epochs.append({"cpu_s": trained_s, "lists": lists.tolist()})
    return {"epochs": epochs}


def _padded(sequence: list[int]) -> tuple[list[int], int]:
    """The last events, padded on the right, and how many they are."""
    longest = int(RECBOLE["MAX_ITEM_LIST_LENGTH"])  # type: ignore[call-overload]  # a number
    kept = sequence[-longest:]
    return kept + [0] * (longest - len(kept)), len(kept)


if __name__ == "__main__":
    answer = {"rectools": rectools, "recbole": recbole}[sys.argv[1]](json.load(sys.stdin))
    sys.stdout.write("\n" + json.dumps(answer) + "\n")
