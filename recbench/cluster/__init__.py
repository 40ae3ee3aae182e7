"""One elastic pool for everything, and training on it."""

from recbench.cluster.ranks import RankCluster, ranks_on

__all__ = ["RankCluster", "ranks_on"]
