"""What somebody took before, they may take again."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError
from recbench.tables.queries import Queries
from recbench.tables.vocabulary import Vocabulary

__all__ = ["PersonalFrequency"]


@dataclass(frozen=True, slots=True, eq=False)
class PersonalFrequency:
    """How often the query's own history holds an item, each time halved every half-life."""

    items: Vocabulary
    half_life_s: float = 120 * 86_400.0

    def __post_init__(self) -> None:
        """Time must count the right way."""
        if self.half_life_s <= 0:
            raise InputError(f"`half_life_s` must be positive, got {self.half_life_s}")

    def score_items(self, queries: Queries) -> npt.NDArray[np.float32]:
        """(Q, n_items); 0 for what is not in the history."""
        return np.asarray(queries.decayed_matrix(self.half_life_s).todense(), dtype=np.float32)
