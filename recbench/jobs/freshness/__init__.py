"""How fresh is fresh enough: one log, four dials of freshness, and what each is worth and costs."""

from recbench.jobs.freshness.experiment import Freshness
from recbench.jobs.freshness.plan import FreshnessPlan

__all__ = ["Freshness", "FreshnessPlan"]
