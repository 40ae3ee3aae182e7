"""The candidate tower as ONNX: what embeds an item that came after the release."""

import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from recbench.errors import ReleaseError
from recbench.models.two_tower import TwoTower
from recbench.runtime.export import OPSET

__all__ = ["CANDIDATE_INPUTS", "FrozenCandidateTower", "export_candidate_tower"]

CANDIDATE_INPUTS = ["category_rows", "title_rows", "features", "log_prior", "popularity", "text"]


class FrozenCandidateTower(nn.Module):
    """What an item says of itself, and its features, to its embedding; its id is not known yet."""

    def __init__(self, towers: TwoTower) -> None:
        """Shares the weights of ``towers``."""
        super().__init__()
        self.items = towers.items
        self.candidates = towers.candidates

    def forward(
        self,
        category_rows: Tensor,
        title_rows: Tensor,
        features: Tensor,
        log_prior: Tensor,
        popularity: Tensor,
        text: Tensor | None = None,
    ) -> Tensor:
        """(N, Wc) and (N, Wt) token rows, (N, F), (N,), (N,), (N, T) -> (N, D + 2)."""
        no_id = torch.zeros((), device=features.device)
        described = self.items.described(no_id, category_rows, title_rows, text)
        embedded = self.candidates(described, features, log_prior)
        return torch.cat([embedded, popularity[:, None]], dim=-1)


def export_candidate_tower(towers: TwoTower, path: Path) -> None:
    """Write the candidate tower as ONNX, the number of items free.

    It takes ``CANDIDATE_INPUTS``; ``text`` only where the towers look at texts.
    """
    towers = towers.cpu().eval()
    n_features = next(towers.candidates.shift.parameters()).shape[1]
    two = torch.zeros(2)
    example = [
        towers.items.category_rows[:1].repeat(2, 1),
        towers.items.title_rows[:1].repeat(2, 1),
        torch.zeros((2, n_features)),
        two,
        two.clone(),
    ]
    if towers.items.text is not None:
        example.append(towers.items.text[:1].repeat(2, 1))
    items = torch.export.Dim("items")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            FrozenCandidateTower(towers).eval(),
            tuple(example),
            input_names=CANDIDATE_INPUTS[: len(example)],
            output_names=["candidate_embeddings"],
            dynamic_shapes=tuple({0: items} for _ in example),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:  # never with `dynamo`
        raise ReleaseError("torch gave no ONNX program")
    program.save(path)
