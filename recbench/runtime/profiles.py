"""Which shapes of input a graph is made for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recbench.errors import InputError

__all__ = ["QUERY_TOWER_PROFILE", "Profile", "Range", "free_inputs"]


@dataclass(frozen=True, slots=True)
class Range:
    """Sizes of one free dimension."""

    least: int
    usual: int  # what an engine is tuned for
    most: int

    def __post_init__(self) -> None:
        """Sizes ascend from 1."""
        if not 1 <= self.least <= self.usual <= self.most:
            raise InputError(f"Sizes must ascend from 1, got {self.least, self.usual, self.most}")


@dataclass(frozen=True, slots=True)
class Profile:
    """A range for every free dimension of a graph, by its name."""

    ranges: Mapping[str, Range]

    def shape(self, dims: Sequence[int | str], corner: str) -> tuple[int, ...]:
        """``dims`` with each name as its size at ``corner``: ``least``, ``usual`` or ``most``.

        Raises:
            InputError: a name that has no range.
        """
        missing = [dim for dim in dims if isinstance(dim, str) and dim not in self.ranges]
        if missing:
            raise InputError(f"No range for {missing}; there are {sorted(self.ranges)}")
        return tuple(
            getattr(self.ranges[dim], corner) if isinstance(dim, str) else dim for dim in dims
        )


QUERY_TOWER_PROFILE = Profile({"batch": Range(1, 1, 64), "length": Range(1, 50, 200)})


def free_inputs(path: Path) -> dict[str, list[int | str]]:
    """The inputs of an ONNX file: name -> dimensions, a free one by its name."""
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    return {
        value.name: [
            dim.dim_value if dim.HasField("dim_value") else dim.dim_param
            for dim in value.type.tensor_type.shape.dim
        ]
        for value in graph.input
    }
