"""Parts of what was shown and clicked, one after the other."""

from collections.abc import Sequence
from dataclasses import fields

import numpy as np

from recbench.datasets.world.protocol import Clicks, Exposures

__all__ = ["all_clicks", "all_exposures"]

NAMES = [one.name for one in fields(Exposures)]


def all_exposures(parts: Sequence[Exposures]) -> Exposures:
    """In the order given."""
    if not parts:
        none = np.zeros(0, dtype=np.int64)
        return Exposures(none, none, none, none, np.zeros(0), np.zeros(0))
    return Exposures(*(np.concatenate([getattr(part, name) for part in parts]) for name in NAMES))


def all_clicks(parts: Sequence[Clicks]) -> Clicks:
    """In the order given."""
    of = all_exposures([part.of for part in parts])
    if not parts:
        return Clicks(of, np.zeros(0), np.zeros(0))
    watch_s, known_h = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("watch_s", "known_h")
    )
    return Clicks(of, watch_s, known_h)
