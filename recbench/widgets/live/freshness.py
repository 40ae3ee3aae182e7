"""The freshness dashboard: what is served, how late it is, and the way back."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import ipywidgets

from recbench.errors import InputError
from recbench.refresh import Registry
from recbench.widgets.freshness import freshness_figure, freshness_table, releases_table
from recbench.widgets.live.panel import Panel
from recbench.widgets.shown import Part
from recbench.widgets.tables import Table

__all__ = ["freshness_dashboard"]


def freshness_dashboard(
    registry: Registry,
    *,
    newest: Callable[[], datetime | None] = lambda: None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Panel:
    """Watermark, lag, last refresh and verdicts; a button rolls back, after a second one agrees.

    What is rolled back is the release that was shown: if another one was published meanwhile,
    nothing happens but that this is said.

    Args:
        registry: of the workspace; it may be empty.
        newest: the time of the newest event in the lake of the served log; None: unknown.
        now: the clock.
    """

    def show(how_many: int) -> Iterator[Part]:
        at = newest()
        yield Table(freshness_table(registry, newest=at, now=now()))
        if registry.releases():
            yield freshness_figure(registry, newest=at)
            yield Table(releases_table(registry).head(how_many))

    dials = {
        "how_many": ipywidgets.IntSlider(
            value=10, min=1, max=50, description="releases", continuous_update=False
        )
    }
    again = ipywidgets.Button(description="Look again", icon="refresh")
    way_back = _WayBack(registry)
    panel = Panel("freshness", dials, show, buttons=[again, way_back.box])
    way_back.on_change = panel.look_again

    def look_again(_button: Any) -> None:
        way_back.rest()
        panel.look_again()

    again.on_click(look_again)
    return panel


class _WayBack:
    """A button that asks, and one that does it; what happened is said beside them."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._of: str | None = None  # what was current when the question was asked
        self.on_change: Callable[[], None] = lambda: None
        self.ask = ipywidgets.Button(description="Roll back …", icon="undo")
        self.yes = ipywidgets.Button(description="Yes, roll back", button_style="danger")
        self.no = ipywidgets.Button(description="No")
        self.said = ipywidgets.Label()
        for button, name in ((self.ask, "ask"), (self.yes, "yes"), (self.no, "no")):
            button.add_class(f"rb-roll-back-{name}")
        self.said.add_class("rb-said")
        self.ask.on_click(lambda _button: self._asked())
        self.yes.on_click(lambda _button: self._agreed())
        self.no.on_click(lambda _button: self.rest("Nothing was changed."))
        self.box = ipywidgets.HBox()
        self.rest()

    def rest(self, said: str = "") -> None:
        """Back to the one button; ``said`` is what just happened."""
        self._of = None
        self.said.value = said
        self.box.children = [self.ask, self.said]

    def _asked(self) -> None:
        try:
            self._of, earlier = self._registry.current(), self._registry.earlier()
        except InputError as error:
            return self.rest(str(error))
        if not earlier:
            return self.rest("There is no release before this one to roll back to.")
        self.said.value = f"From {self._of} back to {earlier[0]}?"
        self.box.children = [self.said, self.yes, self.no]
        return None

    def _agreed(self) -> None:
        try:
            chosen = self._registry.roll_back(of=self._of)
            self.rest(f"{chosen.manifest.release} is current again.")
        except InputError as error:
            self.rest(str(error))
        self.on_change()
