"""Notebooks by the clock: when, whether and how often they run, and how that went."""
