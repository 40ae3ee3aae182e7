"""The candidate tower as ONNX: what embeds an item that came after the release."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from recbench.index.exact import ExactIndex
from recbench.models.candidate_features import CandidateFeatures
from recbench.models.two_tower import TwoTower
from recbench.runtime.graphs import export_graph, patched_graph
from recbench.runtime.parity import Parity, lists_overlap

__all__ = [
    "CANDIDATE_INPUTS",
    "FrozenCandidateTower",
    "candidate_parity",
    "export_candidate_tower",
    "patched_candidate_tower",
]

CANDIDATE_INPUTS = ["category_rows", "title_rows", "features", "log_prior", "popularity", "text"]
OF_THE_CATALOGUE = ("items.item.weight", "items.category_rows", "items.title_rows", "items.text")
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


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
    nothing = CandidateFeatures(np.zeros((2, n_features), np.float32), two.numpy(), two.numpy())
    example = _inputs(towers, nothing, np.zeros(2, dtype=np.int64))
    items = torch.export.Dim("items")
    export_graph(
        FrozenCandidateTower(towers).eval(),
        example,
        path,
        inputs=CANDIDATE_INPUTS[: len(example)],
        output="candidate_embeddings",
        shapes=[{0: items} for _ in example],
    )


def patched_candidate_tower(previous: Path, towers: TwoTower, path: Path) -> bool:
    """Write the candidate tower as ``previous`` with the weights of ``towers``.

    Returns whether the file could serve: it has every weight by name, as large as before. Otherwise
    nothing is written.

    Args:
        previous: an ONNX file of ``export_candidate_tower``.
        towers: as of now.
        path: what is written.
    """
    weights = FrozenCandidateTower(towers).state_dict()
    own = {name: weight for name, weight in weights.items() if name not in OF_THE_CATALOGUE}
    return patched_graph(previous, own, path)


def candidate_parity(
    towers: TwoTower,
    path: Path,
    known: CandidateFeatures,
    queries: Floats,
    *,
    item_rows: Ints,
    k: int = 20,
) -> Parity:
    """ONNX Runtime against torch over real items without their ids, and over real queries' lists.

    Args:
        towers: the reference.
        path: of ``export_candidate_tower``.
        known: features of these items as of the release.
        queries: (Q, D + 2) of real requests, for which these items are listed.
        item_rows: (N,) whose content they have.
        k: list length.
    """
    import onnxruntime

    given = _inputs(towers, known, item_rows)
    with torch.no_grad():
        ours: Floats = FrozenCandidateTower(towers)(*given).numpy()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    by_name = {name: part.numpy() for name, part in zip(CANDIDATE_INPUTS, given, strict=False)}
    theirs: Floats = session.run(None, by_name)[0]
    lists: list[npt.NDArray[Any]] = [
        ExactIndex(embedded, np.empty(0, np.int64)).search(queries, k=k)[0]
        for embedded in (ours, theirs)
    ]
    overlaps = [lists_overlap(*pair) for pair in zip(*lists, strict=True)]
    return Parity(
        largest_difference=float(np.abs(ours - theirs).max()),
        overlap=float(np.mean(overlaps)),
        worst_overlap=float(min(overlaps)),
        k=k,
        n_listed=len(overlaps),
        n_queries=len(queries),
    )


def _inputs(towers: TwoTower, known: CandidateFeatures, item_rows: Ints) -> Sequence[Tensor]:
    """In the order of ``CANDIDATE_INPUTS``; ``text`` where the towers look at it."""
    rows = torch.from_numpy(item_rows)
    held = towers.items
    features = (torch.from_numpy(np.ascontiguousarray(part)) for part in known)
    given = [held.category_rows[rows], held.title_rows[rows], *features]
    return given if held.text is None else [*given, held.text[rows]]
