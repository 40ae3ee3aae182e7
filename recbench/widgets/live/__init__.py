"""Widgets for JupyterLab: thin shells of dials around the plain functions beside this folder."""

from recbench.widgets.live.explorer import recommendation_explorer
from recbench.widgets.live.freshness import freshness_dashboard

__all__ = ["freshness_dashboard", "recommendation_explorer"]
