"""Neural-linear: a small network learns what a linear bandit is then sure or unsure about."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError
from recbench.policy.statistics import LinearStatistics

__all__ = ["FEWEST", "Network", "learn_network", "statistics_of"]

Floats = npt.NDArray[np.float32]
FEWEST = 32  # events
CONSTANT = 1e-6  # relative spread; features are float32


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """Features (E, f) to the last hidden layer (E, d) with a one; plain arrays, no framework."""

    centre: Floats  # (f,)
    scale: Floats  # (f,); infinite where a feature is left out
    layers: tuple[tuple[Floats, Floats], ...]  # weights (in, out) and biases (out,)

    @property
    def dim(self) -> int:
        """How many features it makes."""
        return len(self.layers[-1][1]) + 1

    def __call__(self, features: npt.NDArray[np.floating]) -> Floats:
        """(E, d)."""
        hidden = ((features - self.centre) / self.scale).astype(np.float32)
        for weights, biases in self.layers:
            hidden = np.maximum(hidden @ weights + biases, 0.0)
        return np.concatenate([np.ones((len(hidden), 1), dtype=np.float32), hidden], axis=1)


def learn_network(
    features: npt.NDArray[np.floating],
    rewards: npt.NDArray[np.floating],
    *,
    hidden: tuple[int, ...] = (64, 32),
    steps: int = 300,
    batch_size: int = 512,
    learning_rate: float = 3e-3,
    seed: int = 0,
) -> Network:
    """A network whose last hidden layer tells rewards by a linear map, by squared error.

    Args:
        features: (E, f) of recent events.
        rewards: (E,) in [0, 1].
        hidden: sizes of the layers; the last is what the bandit sees.
        steps: of Adam.
        batch_size: events a step.
        learning_rate: of Adam.
        seed: of the weights and the batches.

    Raises:
        InputError: fewer than 32 events.

    Source: Riquelme et al., "Deep Bayesian bandits showdown", ICLR 2018.
    """
    import torch
    from torch import nn

    if len(features) < FEWEST:
        raise InputError(f"A network needs {FEWEST} events or more, got {len(features)}")
    centre, scale = features.mean(axis=0), features.std(axis=0)
    # what varied by rounding only taught nothing: left out, as it may vary once the network decides
    scale = np.where(scale > CONSTANT * (1 + np.abs(centre)), scale, np.inf)
    x = torch.from_numpy(((features - centre) / scale).astype(np.float32))
    y = torch.from_numpy(np.asarray(rewards, dtype=np.float32))
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        sizes = [x.shape[1], *hidden]
        linear = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        head = nn.Linear(hidden[-1], 1)
    parameters = [p for layer in (*linear, head) for p in layer.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=learning_rate)
    for _ in range(steps):
        which = torch.randint(len(x), (min(batch_size, len(x)),), generator=generator)
        value = x[which]
        for layer in linear:
            value = torch.relu(layer(value))
        loss = torch.square(head(value)[:, 0] - y[which]).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        optimizer.step()
    layers = tuple(
        (layer.weight.detach().numpy().T.copy(), layer.bias.detach().numpy().copy())
        for layer in linear
    )
    return Network(centre.astype(np.float32), scale.astype(np.float32), layers)


def statistics_of(
    network: Network,
    features: npt.NDArray[np.floating],
    rewards: npt.NDArray[np.floating],
) -> LinearStatistics:
    """Statistics over the last layer; those of an earlier network say nothing about it."""
    statistics = LinearStatistics.zeros(network.dim)
    statistics.add(network(features), np.asarray(rewards))
    return statistics
