"""Dials, and below them what they show: the one shell that every widget is made of."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ipywidgets

from recbench.errors import InputError
from recbench.widgets.shown import Part, as_html

__all__ = ["Panel"]

# a range of times is longer than the room that upstream gives it
STYLE = "<style>.jupyter-widgets .widget-readout { max-width: none; }</style>"


class Panel(ipywidgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """Shows ``show(**values of the dials)``, again whenever a dial moves.

    What is shown is one piece of HTML, pictures embedded. The same piece is this widget's
    ``text/html``, so that a report without a kernel reads what was last shown when it was
    displayed. The root has the class ``rb-<name>``, what is shown ``rb-shown``.
    """

    def __init__(
        self,
        name: str,
        dials: Mapping[str, Any],
        show: Callable[..., Iterable[Part]],
        *,
        buttons: Iterable[Any] = (),
    ) -> None:
        """``show`` takes every dial's value by name; what it cannot use is said below the rest."""
        self.dials = dict(dials)
        self._show = show
        self.below = ipywidgets.HTML()
        self.below.add_class("rb-shown")
        wrapping = ipywidgets.Layout(flex_flow="row wrap")
        rows = [ipywidgets.Box([*self.dials.values(), *buttons], layout=wrapping), self.below]
        super().__init__(rows)
        self.add_class(f"rb-{name}")
        for dial in self.dials.values():
            dial.observe(lambda _change: self.look_again(), names="value")
        self.look_again()

    def look_again(self) -> None:
        """Show what the dials ask for as things stand now."""
        values = {name: dial.value for name, dial in self.dials.items()}
        parts: list[Part] = []
        try:
            parts.extend(self._show(**values))
        except InputError as error:
            parts.append(str(error))
        self.below.value = STYLE + as_html(parts)

    def _repr_mimebundle_(self, **more: Any) -> dict[str, Any]:
        """The live widget, and its picture for where there is none."""
        bundle: dict[str, Any] = super()._repr_mimebundle_(**more)
        return bundle | {"text/html": f'<div class="rb-picture">{self.below.value}</div>'}
