"""Who was shown what already: as a service does, a policy leaves it out."""

import numpy as np
import numpy.typing as npt

__all__ = ["SeenItems"]

Ints = npt.NDArray[np.int64]


class SeenItems:
    """A growing table of users by items; it is live, whatever else is stale."""

    def __init__(self, n_users: int) -> None:
        """Nobody was shown anything."""
        self._seen = np.zeros((n_users, 0), dtype=bool)

    def note(self, users: Ints, items: Ints) -> None:
        """That each user (R,) was shown the items (R, k) of their row."""
        if (missing := int(items.max()) + 1 - self._seen.shape[1]) > 0:
            wider = np.zeros((len(self._seen), max(missing, self._seen.shape[1])), dtype=bool)
            self._seen = np.concatenate([self._seen, wider], axis=1)
        self._seen[users[:, None], items] = True

    def mask(self, users: Ints, items: Ints, *, at_least: int) -> npt.NDArray[np.bool_]:
        """(R, N) what to leave out; nothing where fewer than ``at_least`` items would be left."""
        held = np.minimum(items, self._seen.shape[1] - 1)
        if held.size == 0 or held.min() < 0:
            return np.zeros((len(users), len(items)), dtype=bool)
        mask: npt.NDArray[np.bool_] = self._seen[users[:, None], held] & (items == held)
        mask[np.count_nonzero(~mask, axis=1) < at_least] = False
        return mask
