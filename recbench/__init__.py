"""A research workbench for near-real-time recommenders."""

__version__ = "0.1.0"
