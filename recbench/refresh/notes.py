"""What one refresh leaves for the next: what is usual, and whom the current release answers to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from recbench.refresh.evidence import Evidence
from recbench.refresh.facts import WindowFacts

__all__ = ["Notes"]

REMEMBERED = 20  # windows that say what is usual


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """Facts beside a learned state that outlive a refresh."""

    facts: Sequence[WindowFacts]  # of the last windows, the oldest first
    n_known: int  # events of the log before the release's instant, when it was made
    n_items_full: int  # size of the catalogue at the last full fit
    full: str | None = None  # the release of the last full fit; None: this one
    anchor: str | None = None  # the last release that was shown to be no worse; None: this one
    evidence: Evidence | None = None  # of this release's line against the anchor

    def to_json(self) -> dict[str, Any]:
        """For ``refresh.json``."""
        return {
            "facts": [one.to_json() for one in self.facts[-REMEMBERED:]],
            "n_known": self.n_known,
            "n_items_full": self.n_items_full,
            "full": self.full,
            "anchor": self.anchor,
            "evidence": self.evidence and self.evidence.to_json(),
        }

    @classmethod
    def from_json(cls, held: dict[str, Any]) -> Self:
        """What ``to_json`` gave."""
        return cls(
            facts=[WindowFacts.from_json(one) for one in held["facts"]],
            n_known=held["n_known"],
            n_items_full=held["n_items_full"],
            full=held["full"],
            anchor=held["anchor"],
            evidence=held["evidence"] and Evidence.from_json(held["evidence"]),
        )
