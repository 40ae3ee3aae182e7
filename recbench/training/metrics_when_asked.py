"""torchmetrics without its hundred metrics, until somebody asks for one of them.

Lightning imports torchmetrics for two classes. The package imports all of its metrics at once, and
with them scipy.signal, matplotlib and transformers: more than half of what Lightning takes to be
imported.
"""

import importlib
import importlib.util
import logging
import sys
from typing import Any

__all__ = ["metrics_when_asked"]

NAME = "torchmetrics"
HOMES = {
    "Metric": "torchmetrics.metric",
    "MetricCollection": "torchmetrics.collections",
    "__version__": "torchmetrics.__about__",
}


def metrics_when_asked() -> None:
    """Put the package in its place with nothing in it yet, unless it is there or not installed.

    Its first attribute that Lightning does not need fills it.
    """
    if NAME in sys.modules or (spec := importlib.util.find_spec(NAME)) is None:
        return
    package = importlib.util.module_from_spec(spec)
    package.__dict__.update(__getattr__=_attribute, _logger=logging.getLogger(NAME))
    sys.modules[NAME] = package


def _attribute(name: str) -> Any:
    package = sys.modules[NAME]
    if name in HOMES:
        importlib.import_module(f"{NAME}.utilities")  # first: these modules import in circles
        return getattr(importlib.import_module(HOMES[name]), name)
    spec = package.__spec__
    if name.startswith("__") or spec is None or spec.loader is None:
        raise AttributeError(f"module {NAME!r} has no attribute {name!r}")
    package.__dict__.pop("__getattr__", None)
    spec.loader.exec_module(package)
    return getattr(package, name)
