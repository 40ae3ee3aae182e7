"""What one refresh leaves for the next: what is usual, and whom the current release answers to."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from recbench.refresh.evidence import Evidence
from recbench.refresh.facts import WindowFacts
from recbench.refresh.gate import Limits

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

    def after(
        self,
        facts: WindowFacts,
        *,
        parent: str,
        n_known: int,
        evidence: Evidence | None,
        limits: Limits,
    ) -> Self:
        """The notes of a release that a refresh makes of this one.

        Once the parent is shown to be no worse than the anchor it is the anchor itself, and
        evidence starts anew.

        Args:
            facts: of the window that was learned from.
            parent: the release that these notes belong to.
            n_known: events of the log before the new release's instant.
            evidence: of the parent against the anchor, the window included; None: it is the anchor.
            limits: margin and level of the evidence.
        """
        shown = evidence is None or evidence.is_not_worse(level=limits.level)
        return replace(
            self,
            facts=[*self.facts, facts],
            n_known=n_known,
            full=self.full or parent,
            anchor=parent if shown else self.anchor,
            evidence=Evidence(limits.margin) if shown else evidence,
        )

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
