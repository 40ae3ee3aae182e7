"""Dials of ``recbench serve`` that are texts: ``name=value`` with commas between."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recbench.policy.exploration import ExplorationBudget
    from recbench.serving.options import PolicyOptions

__all__ = ["budget_of", "policy_of"]

EXPLORE = {
    "traffic": float,
    "slots": int,
    "first_slot": int,
    "pool": int,
    "temperature": float,
    "even": float,
}
DECIDE = {
    "rule": str,
    "scale": float,
    "epsilon": float,
    "slots": int,
    "first_slot": int,
    "traffic": float,
    "candidates": int,
    "at_most": float,
    "least_events": float,
}


def budget_of(dials: str) -> "ExplorationBudget":
    """Of ``--explore``.

    Raises:
        InputError: an unknown dial, or a value outside its range.
    """
    from recbench.policy.exploration import ExplorationBudget

    given = {"traffic": 0.1} | _parsed("--explore", dials, EXPLORE)
    return ExplorationBudget(traffic_frac=given.pop("traffic"), **given)


def policy_of(
    snapshot: Path | None, decide: str | None, floor: str | None
) -> "PolicyOptions | None":
    """Of ``--policy``, ``--decide`` and ``--floor``; None where the tower decides alone.

    A floor without a policy leaves nothing to chance unless ``--decide`` says so.

    Raises:
        InputError: an unknown dial, a value outside its range, or dials without anything to decide.
    """
    from recbench.errors import InputError
    from recbench.policy.decision import DecisionDials
    from recbench.serving.options import PolicyOptions
    from recbench.serving.protected import FloorDial

    if snapshot is None and floor is None:
        if decide is not None:
            raise InputError("--decide is how a policy decides: give --policy SNAPSHOT or --floor")
        return None
    given: dict[str, Any] = {} if snapshot is not None else {"epsilon": 0.0}
    given |= {} if decide is None else _parsed("--decide", decide, DECIDE)
    kept = None if floor is None else FloorDial.parse(floor)
    return PolicyOptions(dials=DecisionDials(**given), snapshot=snapshot, floor=kept)


def _parsed(option: str, dials: str, kinds: Mapping[str, type]) -> dict[str, Any]:
    from recbench.errors import InputError

    given: dict[str, Any] = {}
    for dial in dials.split(","):
        name, _, value = dial.partition("=")
        try:
            given[name.strip()] = kinds[name.strip()](value)
        except (KeyError, ValueError) as error:
            raise InputError(
                f"{option} is NAME=VALUE of {', '.join(kinds)}, with commas between; got {dial!r}"
            ) from error
    return given
