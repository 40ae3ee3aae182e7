"""All that making a release takes: it is learned, judged by the gate, written out, published."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from recbench import __version__
from recbench.index.exact import top_k
from recbench.refresh import Manifest, Registry
from recbench.refresh.gate import Limits, Paired
from recbench.tables.click_stream import ClickStream, Histories
from recbench.tables.lake_log import as_instant

__all__ = ["Arrays", "Judged", "Releasing", "keeps_quality"]

Arrays = Mapping[str, npt.NDArray[np.generic]]
State = TypeVar("State")
Model = TypeVar("Model", bound="Judged")

JUDGED = 256  # clicks, the newest, that a gate looks at
HISTORY = 200  # newest clicks before each
LISTED = 20  # length of the lists that it compares
LIMITS = Limits()


class Judged(Protocol):
    """What a gate can compare with its parent."""

    def learned(self, stream: ClickStream, *, to: int) -> Self | None:
        """The same with the clicks that were known before ``to``, microseconds."""
        ...

    def scores(self, histories: Histories) -> object:
        """(Q, n_items); sparse or dense."""
        ...

    def parts(self) -> Arrays:
        """What a release serves by."""
        ...


@dataclass(eq=False)
class Releasing(Generic[State]):
    """Makes one release after another into a registry of its own, as production does.

    What each holds is written into files, hashed, synced, sealed by a manifest, verified, and
    published by one move of a pointer; the parent stays to be rolled back to, older ones go.
    """

    registry: Registry
    data: str  # name of the log
    protocol: str
    learn: Callable[[State, int], State | None]  # None: held back by a gate of its own
    parts: Callable[[State], Arrays]
    passes: Callable[[State, State, int], bool] | None = None  # of parent, candidate, instant

    def make(self, state: State, to: int) -> State | None:
        """The next state, published; None where the gate holds it back.

        Args:
            state: the parent's.
            to: microseconds: what was known before is learned from.
        """
        candidate = self.learn(state, to)
        if candidate is None:
            return None
        parent = self.registry.current()
        judged = parent is not None and self.passes is not None
        if judged and not self.passes(state, candidate, to):
            return None
        with self.registry.draft() as draft:
            arrays = {name: np.ascontiguousarray(a) for name, a in self.parts(candidate).items()}
            save_file(arrays, draft / "state.safetensors")
            sealed = self.registry.seal(draft, self._manifest(to, parent))
        self.registry.publish(sealed.manifest.release)
        self.registry.prune(keep=1)
        return candidate

    def _manifest(self, to: int, parent: str | None) -> Manifest:
        return Manifest(
            release="",
            created=datetime.now(UTC).isoformat(),
            data=self.data,
            protocol=self.protocol,
            watermark=as_instant(to).isoformat(),
            lake_version=0,
            parent=parent,
            gate={"verdict": "publish" if parent else "not gated", "reasons": []},
            metrics={},
            settings={},
            parity={},
            code={"version": __version__},
        )


def keeps_quality(parent: Model, candidate: Model, to: int, *, stream: ClickStream) -> bool:
    """Whether the newest clicks are found by the candidate as well as by its parent.

    NDCG of each click among all items, by what its user had done before; a loss is more than the
    gate's margin beyond chance. The candidate has learned from these clicks and the parent from
    some, so this finds what is broken, not what is a little too sure of itself.

    Args:
        parent: what serves.
        candidate: what is to serve.
        to: microseconds: clicks that were known before are looked at.
        stream: the log.
    """
    n_known = int(stream.n_known(to))
    newest = np.arange(max(0, n_known - JUDGED), n_known)
    before = stream.n_known(stream.known_at[newest])
    histories = stream.histories(stream.user_rows[newest], before, length=HISTORY)
    own, other = (_ndcg(each, histories, stream.item_rows[newest]) for each in (candidate, parent))
    if not np.isfinite(own).all():
        return False
    return not Paired.of(own, other).is_worse(
        margin=LIMITS.margin, z=LIMITS.z, fewest=LIMITS.fewest_decided
    )


def _ndcg(
    model: Judged, histories: Histories, wanted: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """(Q,) NDCG of each list; NaN throughout if a score is NaN."""
    scores = model.scores(histories)
    dense = np.asarray(scores.toarray() if hasattr(scores, "toarray") else scores)
    if np.isnan(dense).any():
        return np.full(len(wanted), np.nan)
    rows, _ = top_k(dense.astype(np.float32), k=LISTED)
    hit = rows == wanted[:, None]
    gains: npt.NDArray[np.float64] = (hit / np.log2(np.arange(2, rows.shape[1] + 2))).sum(axis=1)
    return gains
