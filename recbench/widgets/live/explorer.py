"""The recommendation explorer: who gets what, why, and what would change it."""

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any

import ipywidgets
import polars as pl

from recbench import columns as c
from recbench.errors import ReleaseError
from recbench.policy.exploration import ExplorationBudget
from recbench.refresh import Registry
from recbench.serving import ReleasedRecommender
from recbench.tables.lake_log import as_instant
from recbench.widgets.asked import Asked
from recbench.widgets.left_to_chance import by_chance
from recbench.widgets.live.panel import Panel
from recbench.widgets.live.typed import as_id, as_ids
from recbench.widgets.recommendations import explained, list_changes, named, score_figure
from recbench.widgets.shown import Part
from recbench.widgets.tables import Table

__all__ = ["recommendation_explorer"]

N_LIKELIEST = 10  # items that are shown of those that chance draws from
N_OFFERED = 200  # users and items that are offered; others can be typed
WIDE = {"description_width": "initial"}
ROOM = {"width": "26em"}  # for what is typed by rule, beside its name


def recommendation_explorer(registry: Registry, *, k: int = 10) -> Panel:
    """Dials for release, user or history, a click to add, a release to compare with, and chance.

    Users who clicked last are offered, and the items that were clicked most; any other id can be
    typed. What is left to chance is written as `recbench serve --explore` takes it. Where no
    release can be opened, only the reason and the next command are shown.

    Args:
        registry: its releases are offered; the current one is opened.
        k: list length at first.
    """
    try:
        current = registry.open().manifest.release
    except ReleaseError as error:
        reason = str(error)
        return Panel("explorer", {}, lambda: [reason])
    names = [manifest.release for manifest in registry.releases()]
    load = lru_cache(maxsize=4)(lambda name: ReleasedRecommender.load(registry.open(name)))
    dials = _dials(load(current), names, current=current, k=k)
    return Panel("explorer", dials, partial(_shown, load))


def _dials(model: ReleasedRecommender, names: list[str], *, current: str, k: int) -> dict[str, Any]:
    users, items = _offered_users(model), _offered_items(model)
    typed = {"continuous_update": False, "style": WIDE}
    return {
        "release": ipywidgets.Dropdown(
            options=names, value=current, description="release", layout=ROOM
        ),
        "user": ipywidgets.Combobox(
            options=users, value=users[0] if users else "", description="user", **typed
        ),
        "history": ipywidgets.Text(
            description="or after clicks on",
            placeholder="item ids, oldest first: 10, 20",
            layout=ROOM,
            **typed,
        ),
        "click": ipywidgets.Combobox(
            options=items, description="and now a click on", placeholder="item", **typed
        ),
        "beside": ipywidgets.Dropdown(
            options=[("no other", ""), *((name, name) for name in names)],
            description="compare with release",
            style=WIDE,
        ),
        "chance": ipywidgets.Text(
            description="left to chance",
            placeholder="nothing; or: slots=1,pool=100",
            layout=ROOM,
            **typed,
        ),
        "k": ipywidgets.IntSlider(value=k, min=1, max=50, description="list length", **typed),
    }


def _shown(
    load: Callable[[str], ReleasedRecommender],
    *,
    release: str,
    user: str,
    history: str,
    click: str,
    beside: str,
    chance: str,
    k: int,
) -> Iterator[Part]:
    """The list and its reasons, what chance may show instead, what click and release change."""
    before = _asked(load(release), user, history)
    item_id = as_id(click, what="item") if click.strip() else None
    asked = before if item_id is None else before.with_click(item_id)
    table = explained(asked, k=k)
    yield _sentence(asked, release)
    yield score_figure(table)
    yield Table(table.drop("nearest", "cosine"))
    yield from _chance(asked, chance, k=k)
    if item_id is not None:
        yield f"After a click on {item_id} just now:"
        yield Table(list_changes(explained(before, k=k), table))
    if beside:
        yield f"From {beside} to {release}:"
        other = _asked(load(beside), user, history)
        other = other if item_id is None else other.with_click(item_id)
        yield Table(list_changes(explained(other, k=k), table))


def _chance(asked: Asked, words: str, *, k: int) -> Iterator[Part]:
    if not words.strip():
        yield "Nothing in the list is left to chance, unless the service explores: write how above."
        return
    left = by_chance(asked, ExplorationBudget.of(words), k=k)
    yield left.finding
    yield Table(left.slots)
    if len(left.candidates):
        yield f"The {min(N_LIKELIEST, len(left.candidates))} likeliest, and their propensities:"
        yield Table(left.candidates.head(N_LIKELIEST))


def _asked(model: ReleasedRecommender, user: str, history: str) -> Asked:
    if history.strip():
        return Asked.after(model, as_ids(history, what="item"))
    return Asked.by_user(model, as_id(user, what="user"))


def _sentence(asked: Asked, release: str) -> str:
    n_clicks = int(asked.queries.lengths[0])
    n_read = int((asked.history.item_rows >= 0).sum())
    if not n_clicks:
        return f"Nobody known: release {release} answers with its recency popularity."
    last = as_instant(int(asked.queries.log.ts.max()))
    return (
        f"{n_clicks} clicks known to release {release}, the last {n_read} are read by its tower; "
        f"the latest at {last:%Y-%m-%d %H:%M:%S} UTC."
    )


def _offered_users(model: ReleasedRecommender) -> list[str]:
    clicks = model.contents.interactions.filter(pl.col(c.CLICKED))
    latest = (
        clicks.group_by(c.USER_ID).agg(pl.col(c.TS).max()).sort(c.TS, c.USER_ID, descending=True)
    )
    return [str(user_id) for user_id in latest[c.USER_ID].head(N_OFFERED)]


def _offered_items(model: ReleasedRecommender) -> list[str]:
    clicks = model.contents.interactions.filter(pl.col(c.CLICKED)).group_by(c.ITEM_ID).len()
    most = model.contents.item_features.join(clicks, on=c.ITEM_ID, how="left").sort(
        pl.col("len").fill_null(0), pl.col(c.ITEM_ID), descending=[True, False]
    )
    return named(most.head(N_OFFERED))
