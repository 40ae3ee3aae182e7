"""One event log, checked and read from the lake: what every stage works on."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, Self, cast, get_args

import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.tables.vocabulary import Vocabulary

__all__ = ["EventLog", "Protocol", "as_protocol", "catalogue", "repeats"]

Protocol = Literal["masked", "next_in_session", "next_basket", "impressions"]


@dataclass(frozen=True, slots=True, eq=False)
class EventLog:
    """Canonical events and items of one data set, at one version of the lake."""

    name: str
    protocol: Protocol
    events: pl.DataFrame  # ordered by ts, ties in the order of the source
    items: pl.DataFrame  # one row an item
    version: int  # Delta version of the events table
    rejected: dict[str, int] = field(default_factory=dict)  # reason -> rows set aside

    def until(self, at: int) -> Self:
        """The log as it was at ``at``, microseconds since the epoch: nothing later is known.

        An item is known that an event speaks of or that was published by then, and one without a
        date of publication that no later event speaks of.
        """
        events = self.events.filter(pl.col(c.TS).dt.epoch("us") < at)
        later = self.events[len(events) :][c.ITEM_ID].unique()
        return replace(self, events=events).without(later, at=at)

    def without(self, later: pl.Series, *, at: int) -> Self:
        """Without items published from ``at`` on, or undated and in ``later``, unless clicked."""
        known = ~pl.col(c.ITEM_ID).is_in(later.implode())
        if c.PUBLISHED_AT in self.items.columns:
            known = (pl.col(c.PUBLISHED_AT).dt.epoch("us") < at).fill_null(known)
        known |= pl.col(c.ITEM_ID).is_in(self.events[c.ITEM_ID].unique().implode())
        return replace(self, items=self.items.filter(known))

    @property
    def watermark(self) -> datetime:
        """The time of the last event."""
        return cast("datetime", self.events[c.TS].max())

    @property
    def watermark_us(self) -> int:
        """The same in microseconds since the epoch."""
        return int(self.events[c.TS].dt.epoch("us").max())  # type: ignore[arg-type]  # instants

    @property
    def repeats(self) -> bool:
        """Whether an item of the history may be recommended again under the protocol."""
        return repeats(self.protocol)


def catalogue(data: EventLog) -> Vocabulary:
    """Every item of the data set, whether or not it was clicked yet."""
    return Vocabulary.of(data.items[c.ITEM_ID])


def repeats(protocol: Protocol) -> bool:
    """Whether an item of the history may be recommended again."""
    return protocol in {"next_in_session", "next_basket", "impressions"}


def as_protocol(name: str) -> Protocol:
    """``name`` as a protocol.

    Raises:
        InputError: no such protocol.
    """
    if name not in get_args(Protocol):
        raise InputError(f"`protocol` must be one of {list(get_args(Protocol))}, got {name!r}")
    return cast("Protocol", name)
