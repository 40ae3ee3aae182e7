"""Real data sets by name, and any file or table in the canonical schema."""

from recbench.datasets.catalogue import CATALOGUE, DataSet
from recbench.datasets.column_names import ColumnNames, id_number
from recbench.datasets.load import in_lake, lake_name, load

__all__ = ["CATALOGUE", "ColumnNames", "DataSet", "id_number", "in_lake", "lake_name", "load"]
