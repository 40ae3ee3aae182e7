"""The feature inspector: every feature of a user or an item at a time, and what it is made of."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import ipywidgets
import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.features.definitions import Feature, WindowFeature
from recbench.features.shipped import SHIPPED_FEATURES
from recbench.widgets.features import window_figure
from recbench.widgets.inspection import counting_events, seen_events, values_at
from recbench.widgets.live.panel import Panel
from recbench.widgets.live.typed import as_id
from recbench.widgets.shown import Part
from recbench.widgets.tables import Table

__all__ = ["feature_inspector"]

N_OFFERED = 200
N_ROWS = 20  # events of a window that are listed, the latest
COLUMNS = (c.TS, c.USER_ID, c.ITEM_ID, c.CLICKED, c.WATCH_MS, c.CATEGORY)
WIDE = {"description_width": "initial"}


def feature_inspector(
    events: pl.DataFrame, features: Sequence[Feature] = SHIPPED_FEATURES
) -> Panel:
    """Dials for a feature, a user, an item, and an instant along the events of that one.

    The feature decides whether the user or the item is looked at; all features of the same kind
    are told. The busiest users and items are offered; any other id can be typed.

    Args:
        events: canonical.
        features: of users and items; those of categories are left out.
    """
    by_name = {f.name: f for f in features if f.entity in {c.USER_ID, c.ITEM_ID}}
    dials = _dials(events, list(by_name))

    def show(feature: str, user: str, item: str, along: int, minutes: float) -> Iterator[Part]:
        chosen = by_name[feature]
        entity_id = as_id(user, what="user") if chosen.entity == c.USER_ID else None
        entity_id = as_id(item, what="item") if entity_id is None else entity_id
        own = events.filter(pl.col(chosen.entity) == entity_id).sort(c.TS, maintain_order=True)
        if not len(own):
            raise InputError(f"There is no event with {chosen.entity} {entity_id}")
        at = own[c.TS][round(along / 100 * (len(own) - 1))] + timedelta(minutes=minutes)
        yield f"{chosen.entity} {entity_id} at {at:%Y-%m-%d %H:%M:%S} UTC, {len(own)} events in all"
        values = values_at(own, features, entity=chosen.entity, entity_id=entity_id, at=at)
        yield Table(values.drop("number"))
        if isinstance(chosen, WindowFeature):
            value = values.filter(pl.col("feature") == feature)["number"][0]
            counting = counting_events(own, chosen, entity_id=entity_id)
            yield window_figure(counting, chosen, at=at, value=value)
        seen = seen_events(own, chosen, entity_id=entity_id, at=at)
        yield f"{feature} sees {len(seen)} events; the latest {min(N_ROWS, len(seen))}:"
        yield Table(seen.select(n for n in COLUMNS if n in seen.columns).tail(N_ROWS))

    return Panel("features", dials, show)


def _dials(events: pl.DataFrame, names: list[str]) -> dict[str, Any]:
    typed = {"continuous_update": False, "style": WIDE}
    ids: dict[str, Any] = {}
    for dial, name in (("user", c.USER_ID), ("item", c.ITEM_ID)):
        offered = _busiest(events, name)
        first = offered[0] if offered else ""
        ids[dial] = ipywidgets.Combobox(options=offered, value=first, description=dial, **typed)
    return {
        "feature": ipywidgets.Dropdown(options=names, description="feature"),
        **ids,
        "along": ipywidgets.IntSlider(
            value=100, min=0, max=100, description="along its events, %", **typed
        ),
        "minutes": ipywidgets.FloatText(value=0.0, description="minutes after", **typed),
    }


def _busiest(events: pl.DataFrame, name: str) -> list[str]:
    counted = events.group_by(name).len().sort("len", name, descending=[True, False])
    return [str(each) for each in counted[name].head(N_OFFERED)]
