"""A request to the service, and its answer: what is served is asked as its users would ask."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import ipywidgets

from recbench import columns as c
from recbench.errors import ReleaseError
from recbench.refresh import Registry
from recbench.refresh.contents import Contents
from recbench.widgets.answer import answer_table, answer_to, curl_line
from recbench.widgets.live.panel import Panel
from recbench.widgets.live.typed import as_id
from recbench.widgets.shown import Part
from recbench.widgets.tables import Table

__all__ = ["service_form"]

WIDE = {"description_width": "initial"}


def service_form(registry: Registry, *, address: str = "127.0.0.1:8080", k: int = 10) -> Panel:
    """Dials for a user, a list length and the service's address; *Ask* sends the request again.

    The same request is told as a line for a terminal, and where nothing answers, how to start the
    service. Without a release there is nothing to serve, and only that is said.

    Args:
        registry: names of items, and the user who clicked last, come from its current release.
        address: ``host:port``, at first.
        k: list length at first.
    """
    try:
        contents = Contents.read(registry.open())
    except ReleaseError as error:
        reason = str(error)
        return Panel("service", {}, lambda: [reason])
    latest = contents.interactions.sort(c.TS, maintain_order=True)[c.USER_ID].tail(1).to_list()
    titles = lru_cache(maxsize=2)(lambda _current: _titles(registry, contents))

    def show(user: str, k: int, address: str) -> Iterator[Part]:
        user_id = as_id(user, what="user")
        yield curl_line(address, user_id=user_id, k=k)
        answer = answer_to(address, user_id=user_id, k=k)
        because = f", by {answer['fallback']}: {answer['reason']}" if answer["fallback"] else ""
        yield f"{len(answer['items'])} items from release {answer['release']}{because}"
        yield Table(answer_table(answer, titles(answer["release"])))

    typed = {"continuous_update": False, "style": WIDE}
    dials: dict[str, Any] = {
        "user": ipywidgets.Text(value=str(*latest), description="user", **typed),
        "k": ipywidgets.IntSlider(value=k, min=1, max=50, description="list length", **typed),
        "address": ipywidgets.Text(value=address, description="service", **typed),
    }
    ask = ipywidgets.Button(description="Ask", icon="paper-plane", button_style="primary")
    panel = Panel("service", dials, show, buttons=[ask])
    ask.on_click(lambda _button: panel.look_again())
    return panel


def _titles(registry: Registry, held: Contents) -> Any:
    """Item features of what is current now; of ``held`` where nothing can be opened."""
    try:
        return Contents.read(registry.open()).item_features
    except ReleaseError:
        return held.item_features
