"""The same features from Apache Flink: streaming SQL made from the declarations, and its runner."""

from recbench.features.flink.query import flink_sql
from recbench.features.flink.run import run_flink
from recbench.features.flink.tables import JsonLines, KafkaSink, KafkaTopic

__all__ = ["JsonLines", "KafkaSink", "KafkaTopic", "flink_sql", "run_flink"]
