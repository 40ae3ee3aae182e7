"""A learner's file: all that decisions need, and where in the stream it stands.

One file of tensors, whole or not at all: what was learnt, what waits for rewards, and the offsets
behind the last row of both. Whoever decides reads what was learnt and leaves the rest on the disk.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError
from recbench.files import whole_file
from recbench.policy.belief import network_of
from recbench.policy.item_counts import N_RATES, ItemCounts
from recbench.policy.neural import Network
from recbench.policy.statistics import LinearStatistics, Posterior

__all__ = ["Snapshot", "read_snapshot", "write_snapshot"]

FORMAT = 2  # 1 did not say whose towers its contexts were of
BELIEFS, ITEMS = "beliefs.", "items."
Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """What a policy decides by, on the towers of one full fit."""

    towers: str  # the release of that fit; empty: exposures did not say
    posterior: Posterior
    network: Network | None  # whose last layer the posterior is over
    counts: ItemCounts
    dim: int  # of the contexts
    n_events: float  # decisions whose reward is known
    reward_sum: float
    told: Mapping[str, Any]  # offsets and counts, as the learner has them

    @classmethod
    def read(cls, path: Path, *, towers: str | None = None, ridge: float = 1.0) -> Self:
        """The latest state of a learner.

        Args:
            path: of the file.
            towers: the release of a full fit, whose belief is wanted; where there is none, or by
                default, it is that of the towers that were learnt last.
            ridge: of the posterior.

        Raises:
            InputError: it is no snapshot.
        """
        told, arrays = read_snapshot(path, parts=(BELIEFS, ITEMS))
        counts = ItemCounts(half_life_us=told["half_life_us"])
        counts.restore(_part(arrays, ITEMS))
        own, belief = _belief_of(told, arrays, towers)
        sums = LinearStatistics(
            belief["gram"], belief["moment"], own["n_events"], own["reward_sum"]
        )
        network = network_of(belief)
        prior = None if network else _by_rate(sums.dim)
        return cls(
            own["towers"],
            Posterior.of(sums, ridge=ridge, prior=prior),
            network,
            counts,
            told["dim"],
            sums.n_events,
            sums.reward_sum,
            told,
        )

    def represented(self, features: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """(C, d) what the posterior is over."""
        return features if self.network is None else self.network(features)


def write_snapshot(path: Path, told: Mapping[str, Any], arrays: Mapping[str, Arrays]) -> None:
    """Numbers and named groups of arrays in one file, whole or not at all."""
    from safetensors.numpy import save_file

    held = {
        f"{part}.{name}": np.ascontiguousarray(array)
        for part, group in arrays.items()
        for name, array in group.items()
    }
    with whole_file(path) as draft:
        save_file(held, draft, metadata={"learner": json.dumps({"format": FORMAT, **told})})


def read_snapshot(path: Path, *, parts: Iterable[str] = ("",)) -> tuple[dict[str, Any], Arrays]:
    """Its numbers, and those of its arrays whose names begin with one of ``parts``.

    Raises:
        InputError: it is no snapshot, or of another format.
    """
    from safetensors import SafetensorError, safe_open

    begins = tuple(parts)
    try:
        with safe_open(path, framework="numpy") as file:
            told = json.loads(file.metadata()["learner"])
            names = [name for name in file.keys() if name.startswith(begins)]  # noqa: SIM118  # a file of tensors is no mapping
            arrays = {name: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is no snapshot of a learner: {error}") from error
    if told.get("format") != FORMAT:
        raise InputError(
            f"{path} is a snapshot of format {told.get('format')}, this reads {FORMAT}: begin a "
            "new one"
        )
    return told, arrays


def _by_rate(dim: int) -> npt.NDArray[np.float64]:
    """Before anything else is known, a showing earns what showings of the item earned lately.

    Contexts end with the rates of ``ItemCounts``, of which the first is that.
    """
    prior = np.zeros(dim)
    if dim >= N_RATES:
        prior[dim - N_RATES] = 1.0
    return prior


def _belief_of(
    told: Mapping[str, Any], arrays: Arrays, towers: str | None
) -> tuple[dict[str, Any], Arrays]:
    """What is said of a belief, and its arrays; one of nothing where nothing was learnt yet."""
    held: list[dict[str, Any]] = told["beliefs"]
    if not held:
        nothing = LinearStatistics.zeros(told["dim"])
        return (
            {"towers": "", "n_events": 0.0, "reward_sum": 0.0},
            {"gram": nothing.gram, "moment": nothing.moment},
        )
    names = [belief["towers"] for belief in held]
    place = names.index(towers) if towers in names else len(held) - 1
    return held[place], _part(arrays, f"{BELIEFS}{place}.")


def _part(arrays: Arrays, begin: str) -> Arrays:
    return {n.removeprefix(begin): a for n, a in arrays.items() if n.startswith(begin)}
