"""Widgets for JupyterLab: thin shells of dials around the plain functions beside this folder."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recbench.widgets.live.cluster import cluster_panel
    from recbench.widgets.live.columns import column_form
    from recbench.widgets.live.data import data_explorer
    from recbench.widgets.live.explorer import recommendation_explorer
    from recbench.widgets.live.features import feature_inspector
    from recbench.widgets.live.freshness import freshness_dashboard
    from recbench.widgets.live.latency import latency_explorer
    from recbench.widgets.live.runs import run_comparison
    from recbench.widgets.live.schedules import schedule_panel
    from recbench.widgets.live.service import service_form

__all__ = [
    "cluster_panel",
    "column_form",
    "data_explorer",
    "feature_inspector",
    "freshness_dashboard",
    "latency_explorer",
    "recommendation_explorer",
    "run_comparison",
    "schedule_panel",
    "service_form",
]
WHERE = {
    "cluster_panel": "cluster",
    "column_form": "columns",
    "data_explorer": "data",
    "feature_inspector": "features",
    "freshness_dashboard": "freshness",
    "latency_explorer": "latency",
    "recommendation_explorer": "explorer",
    "run_comparison": "runs",
    "schedule_panel": "schedules",
    "service_form": "service",
}


def __getattr__(name: str) -> Any:
    """What is asked for: a widget needs no extra of recbench that only another one needs."""
    if name not in WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{WHERE[name]}"), name)
