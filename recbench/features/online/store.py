"""What every online store answers, whether it lives in this process or elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench.features.definitions import Entity

__all__ = ["OnlineStore", "Updated"]

Ids = pl.Series | npt.NDArray[np.int64]
Instants = int | npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Updated:
    """What an update did: rows taken, and late rows left out."""

    n_rows: int = 0
    n_late: int = 0


class OnlineStore(Protocol):
    """Features of entities now, kept up to date with a stream."""

    @property
    def watermark_us(self) -> int | None:
        """From which instant on lookups are exact; None: from any."""
        ...

    @property
    def positions(self) -> Mapping[str, int]:
        """Where to go on reading: partition of the stream -> next offset."""
        ...

    def update(
        self,
        events: pl.DataFrame,
        *,
        positions: Mapping[str, int] | None = None,
        watermark_us: int | None = None,
    ) -> Updated:
        """Take rows in their order of arrival, and with them the positions after them."""
        ...

    def lookup(self, entity: Entity, id_: int | str | None, *, at_us: int) -> dict[str, Any]:
        """The features of one entity, by name."""
        ...

    def lookup_many(self, entity: Entity, ids: Ids, *, at_us: Instants) -> pl.DataFrame:
        """The features of entities (N,): their id, ``ts`` and a column a feature."""
        ...
