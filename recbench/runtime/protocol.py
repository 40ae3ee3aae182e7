"""What every runtime of a query tower answers, and what it takes."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError

__all__ = ["INPUTS", "QueryTower", "TowerInputs", "check_inputs", "named"]

Floats = npt.NDArray[np.float32]
TowerInputs = tuple[npt.NDArray[np.int64], Floats, Floats, Floats]
INPUTS = ["history_rows", "history_age_s", "history_watch_ratio", "window_features"]


class QueryTower(Protocol):
    """Histories in, query embeddings out: torch, ONNX Runtime or TensorRT."""

    def __call__(
        self,
        history_rows: npt.NDArray[np.int64],
        history_age_s: Floats,
        history_watch_ratio: Floats,
        window_features: Floats,
    ) -> Floats:
        """(B, L) rows with -1 where padded, (B, L) seconds, (B, L) shares, (B, W) -> (B, D).

        Raises:
            InputError: an item row outside the catalogue, or shapes that do not belong together.
        """
        ...


def check_inputs(inputs: TowerInputs, *, n_items: int) -> None:
    """Nothing, if the shapes belong together and every item row is of the catalogue.

    Raises:
        InputError: otherwise.
    """
    history_rows, history_age_s, history_watch_ratio, window_features = inputs
    shapes = {history_rows.shape, history_age_s.shape, history_watch_ratio.shape}
    if len(shapes) > 1 or len(window_features) != len(history_rows):
        raise InputError(
            f"Ages, watched shares and window features must belong to histories "
            f"{history_rows.shape}, got {history_age_s.shape}, {history_watch_ratio.shape} and "
            f"{window_features.shape}"
        )
    # one look: without a sign, what is below -1 is above everything
    if history_rows.size and (history_rows + 1).astype(np.uint64).max() > n_items:
        raise InputError(
            f"Item rows must lie in [-1, {n_items}), got "
            f"{history_rows.min()} to {history_rows.max()}"
        )


def named(inputs: TowerInputs) -> dict[str, npt.NDArray[Any]]:
    """By the names that an exported tower has for them."""
    return dict(zip(INPUTS, inputs, strict=True))
