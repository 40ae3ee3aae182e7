"""The second stage: candidates of several retrievers, put into order by what is known of each."""

from recbench.models.ranking.candidates import Candidates, Retrievers
from recbench.models.ranking.features import RankingFeatures
from recbench.models.ranking.network import ListwiseRanker
from recbench.models.ranking.two_stage import TwoStage

__all__ = ["Candidates", "ListwiseRanker", "RankingFeatures", "Retrievers", "TwoStage"]
