"""What one refresh leaves for the next: what is usual, and whom the current release answers to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from recbench.refresh.evidence import Evidence
from recbench.refresh.facts import WindowFacts

__all__ = ["Notes", "Step", "judged_since"]

Floats = npt.NDArray[np.float64]
REMEMBERED = 20  # windows that say what is usual
FOLLOWED = 8  # windows after its own that a release is compared with the one before it


@dataclass(frozen=True, slots=True)
class Step:
    """One release against the one that it was made from, by the users of the windows since."""

    release: str
    before: str
    evidence: Evidence

    def after(self, own: Floats, other: Floats) -> Self:
        """With further users, each judged under the release and the one before it."""
        return replace(self, evidence=self.evidence.after(own, other))

    def to_json(self) -> dict[str, Any]:
        """For a manifest."""
        named = {"release": self.release, "before": self.before}
        return named | {"evidence": self.evidence.to_json()}

    @classmethod
    def from_json(cls, held: dict[str, Any]) -> Self:
        """What ``to_json`` gave."""
        return cls(held["release"], held["before"], Evidence.from_json(held["evidence"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """Facts beside a learned state that outlive a refresh."""

    facts: Sequence[WindowFacts]  # of the last windows, the oldest first
    n_known: int  # events of the log before the release's instant, when it was made
    n_items_full: int  # size of the catalogue at the last full fit
    full: str | None = None  # the release of the last full fit; None: this one
    anchor: str | None = None  # the last release that was shown to be no worse; None: this one
    evidence: Evidence | None = None  # of this release's line against the anchor
    steps: Sequence[Step] = ()  # of the releases before this one, the latest first

    def followed(self, *, release: str, before: str | None, margin: float) -> list[Step]:
        """The steps that the next window's users judge, that to this release first.

        Args:
            release: that these notes belong to.
            before: what it was refreshed from; None: it is a full fit.
            margin: share of NDCG that a step may lose.
        """
        own = [] if before is None else [Step(release, before, Evidence(margin))]
        return [*own, *self.steps][:FOLLOWED]

    def after(
        self,
        facts: WindowFacts,
        *,
        parent: str,
        n_known: int,
        evidence: Evidence | None,
        steps: Sequence[Step],
        margin: float,
        level: float,
    ) -> Self:
        """The notes of a release that a refresh makes of this one.

        Once the parent is shown to be no worse than the anchor it is the anchor itself, and
        evidence starts anew.

        Args:
            facts: of the window that was learned from.
            parent: the release that these notes belong to.
            n_known: events of the log before the new release's instant.
            evidence: of the parent against the anchor, the window included; None: it is the anchor.
            steps: the window included.
            margin: share of NDCG that a line of releases may lose.
            level: of what counts as shown.
        """
        shown = evidence is None or evidence.is_not_worse(level=level)
        return replace(
            self,
            facts=[*self.facts, facts],
            n_known=n_known,
            full=self.full or parent,
            anchor=parent if shown else self.anchor,
            evidence=Evidence(margin) if shown else evidence,
            steps=steps,
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
            "steps": [step.to_json() for step in self.steps],
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
            steps=[Step.from_json(step) for step in held["steps"]],
        )


def judged_since(
    values: Mapping[str, Floats],
    notes: Notes,
    followed: Sequence[Step],
    *,
    release: str,
    margin: float,
) -> dict[str, Any]:
    """``anchor, evidence, steps``: what was known of the last releases, and a window's users.

    Args:
        values: NDCG of the users under each release; one that is gone is not compared any more.
        notes: of the current release.
        followed: its steps.
        release: the current one.
        margin: share of NDCG that a line of releases may lose.
    """
    own, anchor = values[release], notes.anchor
    evidence = notes.evidence
    if anchor is not None and anchor in values and len(own):
        evidence = (evidence or Evidence(margin)).after(own, values[anchor])
    steps = [
        step.after(values[step.release], values[step.before])
        for step in followed
        if step.release in values and step.before in values
    ]
    return {"anchor": anchor, "evidence": evidence, "steps": tuple(steps)}
