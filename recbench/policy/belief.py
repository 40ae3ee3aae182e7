"""What a bandit believes of rewards: sums over features, or over the last layer of a network."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError
from recbench.policy.neural import FEWEST, Network, learn_network, statistics_of
from recbench.policy.statistics import LinearStatistics

__all__ = ["Belief", "Relearning", "network_of"]

Features = npt.NDArray[np.floating]
Rewards = npt.NDArray[np.floating]
Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Relearning:
    """When a network is learnt anew (neural-linear), and from what."""

    every: int = 5_000  # events
    recent: int = 20_000  # latest events that it is learnt from
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what no network can be learnt from."""
        if self.every < 1:
            raise InputError(f"`every` must be at least 1, got {self.every}")
        if self.recent < FEWEST:
            raise InputError(f"`recent` must be at least {FEWEST}, got {self.recent}")


class Belief:
    """Takes in events once each; their order matters only where a network is learnt.

    Args:
        dim: of the features.
        relearning: None: the features themselves are what the sums are of.
        half_life: events after which one counts half; None: all count alike for ever.
    """

    def __init__(
        self, dim: int, *, relearning: Relearning | None = None, half_life: float | None = None
    ) -> None:
        if half_life is not None and not half_life > 0:
            raise InputError(f"`half_life` must be positive, got {half_life}")
        self.dim, self.relearning, self.half_life = dim, relearning, half_life
        self.statistics = LinearStatistics.zeros(dim)
        self.network: Network | None = None
        self._recent = np.empty((0, dim), dtype=np.float32), np.empty(0)
        self._n_since = 0  # events since the last network

    def learn(self, features: Features, rewards: Rewards) -> None:
        """Take in (E, dim) features and (E,) rewards."""
        seen = features if self.network is None else self.network(features)
        if self.half_life is not None:
            self.statistics.forget(0.5 ** (len(rewards) / self.half_life))
        self.statistics.add(seen, rewards)
        if self.relearning is None:
            return
        kept, recent = self.relearning.recent, (features, rewards)
        old = self._recent
        self._recent = (
            np.concatenate([old[0], recent[0].astype(np.float32)])[-kept:],
            np.concatenate([old[1], recent[1]])[-kept:],
        )
        self._n_since += len(rewards)
        if self._n_since >= self.relearning.every and len(self._recent[1]) >= FEWEST:
            self._relearn(self.relearning.seed)

    def _relearn(self, seed: int) -> None:
        """Statistics of an earlier network say nothing about a new one."""
        self._n_since = 0
        self.network = learn_network(*self._recent, seed=seed)
        self.statistics = statistics_of(self.network, *self._recent)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All of it but ``n_events`` and ``reward_sum``, to be kept."""
        kept: dict[str, npt.NDArray[Any]] = {
            "gram": self.statistics.gram,
            "moment": self.statistics.moment,
        }
        if self.relearning is not None:
            kept |= {"recent.features": self._recent[0], "recent.rewards": self._recent[1]}
            kept["recent.n_since"] = np.array([self._n_since])
        if self.network is not None:
            kept |= {"network.centre": self.network.centre, "network.scale": self.network.scale}
            for number, (weights, biases) in enumerate(self.network.layers):
                kept |= {f"network.{number}.w": weights, f"network.{number}.b": biases}
        return kept

    def restore(self, arrays: Arrays, *, n_events: float, reward_sum: float) -> None:
        """Go on where ``arrays`` were taken."""
        self.statistics = LinearStatistics(arrays["gram"], arrays["moment"], n_events, reward_sum)
        if "recent.rewards" in arrays:
            self._recent = arrays["recent.features"], arrays["recent.rewards"]
            self._n_since = int(arrays["recent.n_since"][0])
        self.network = network_of(arrays)


def network_of(arrays: Arrays) -> Network | None:
    """The network among the arrays of a belief, if there is one."""
    if "network.centre" not in arrays:
        return None
    n_layers = sum(name.startswith("network.") and name.endswith(".w") for name in arrays)
    layers = tuple((arrays[f"network.{n}.w"], arrays[f"network.{n}.b"]) for n in range(n_layers))
    return Network(arrays["network.centre"], arrays["network.scale"], layers)
