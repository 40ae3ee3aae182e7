"""The query tower in torch: the reference for every other runtime."""

import numpy as np
import numpy.typing as npt
import torch

from recbench.models.frozen import FrozenQueryTower
from recbench.runtime.protocol import check_inputs

__all__ = ["TorchQueryTower"]


class TorchQueryTower:
    """Query embeddings from histories, on the device that the tower is on."""

    def __init__(self, tower: FrozenQueryTower) -> None:
        """``tower`` of a ``TwoTowerRecommender``."""
        self._tower = tower.eval()
        self.n_items = len(tower.encoded_items)

    @torch.no_grad()
    def __call__(
        self,
        history_rows: npt.NDArray[np.int64],
        history_age_s: npt.NDArray[np.float32],
        history_watch_ratio: npt.NDArray[np.float32],
        window_features: npt.NDArray[np.float32],
    ) -> npt.NDArray[np.float32]:
        """As `QueryTower` says."""
        arrays = (history_rows, history_age_s, history_watch_ratio, window_features)
        check_inputs(arrays, n_items=self.n_items)
        device = self._tower.encoded_items.device
        given = (torch.from_numpy(array).to(device) for array in arrays)
        embedded: npt.NDArray[np.float32] = self._tower(*given).cpu().numpy()
        return embedded
