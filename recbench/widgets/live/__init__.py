"""Widgets for JupyterLab: thin shells of dials around the plain functions beside this folder."""

from recbench.widgets.live.data import data_explorer
from recbench.widgets.live.explorer import recommendation_explorer
from recbench.widgets.live.features import feature_inspector
from recbench.widgets.live.freshness import freshness_dashboard

__all__ = ["data_explorer", "feature_inspector", "freshness_dashboard", "recommendation_explorer"]
