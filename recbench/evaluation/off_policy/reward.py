"""What a shown item earned: a click, a watch, or a stated mixture of both, in [0, 1]."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.errors import InputError

__all__ = ["Reward"]

FULL_WATCH_MS = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reward:
    """``(1 - watch_share) * clicked + watch_share * min(watch_ms / full_watch_ms, 1)``."""

    watch_share: float = 0.0  # 0: clicks alone, 1: watch time alone
    full_watch_ms: int = FULL_WATCH_MS  # a watch this long or longer earns all

    def __post_init__(self) -> None:
        """Refuse what is no mixture."""
        if not 0 <= self.watch_share <= 1:
            raise InputError(f"`watch_share` must lie in [0, 1], got {self.watch_share}")
        if self.full_watch_ms <= 0:
            raise InputError(f"`full_watch_ms` must be positive, got {self.full_watch_ms}")

    @classmethod
    def parse(cls, text: str, *, full_watch_ms: int = FULL_WATCH_MS) -> Self:
        """Of ``click``, ``watch``, or ``mixture:0.3`` with the share of watch time.

        Raises:
            InputError: anything else.
        """
        name, _, share = text.partition(":")
        shares = {"click": "0", "watch": "1", "mixture": share}
        try:
            return cls(watch_share=float(shares[name]), full_watch_ms=full_watch_ms)
        except (KeyError, ValueError) as error:
            raise InputError(
                f"A reward is `click`, `watch` or `mixture:SHARE` with a share in [0, 1] of watch "
                f"time, got {text!r}"
            ) from error

    def of(self, exposures: pl.DataFrame) -> pl.Series:
        """Of each row, in [0, 1]; null where it is not known.

        Without a click there is no watch time to wait for; a click whose watch time never came is
        unknown where watch time counts.

        Raises:
            InputError: a column is missing.
        """
        needed = [c.CLICKED] + ([c.WATCH_MS] if self.watch_share else [])
        missing = [name for name in needed if name not in exposures.columns]
        if missing:
            raise InputError(f"This reward needs the columns {missing}, got {exposures.columns}")
        clicked = pl.col(c.CLICKED).cast(pl.Float64)
        value = clicked * (1 - self.watch_share)
        if self.watch_share:
            watched = (pl.col(c.WATCH_MS) / self.full_watch_ms).clip(0.0, 1.0)
            none = pl.when(pl.col(c.CLICKED).not_()).then(0.0)
            value = value + self.watch_share * pl.coalesce(watched, none)
        return exposures.select(value.alias("reward"))["reward"]

    def values(
        self, clicked: npt.NDArray[np.bool_], watch_ms: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        """(E,) of what is known for good: a click without a watch time was not watched."""
        watched = np.minimum(watch_ms / self.full_watch_ms, 1.0)
        return (1 - self.watch_share) * clicked + self.watch_share * watched
