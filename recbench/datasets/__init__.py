"""Real data sets by name, and any file or table in the canonical schema."""

from recbench.datasets.catalogue import CATALOGUE, DataSet
from recbench.datasets.load import in_lake, load

__all__ = ["CATALOGUE", "DataSet", "in_lake", "load"]
