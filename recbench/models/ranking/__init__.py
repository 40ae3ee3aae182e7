"""The second stage: candidates of several retrievers, put into order by what is known of each.

What serves needs no torch: `network`, `impressions` and `two_stage` are imported by their names.
"""

from recbench.models.ranking.candidates import Candidates, Retrievers
from recbench.models.ranking.features import RankingFeatures

__all__ = ["Candidates", "RankingFeatures", "Retrievers"]
