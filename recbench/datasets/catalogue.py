"""The data sets known by name: where they come from, under which licence, how they are judged."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from recbench.datasets import formats, sources
from recbench.tables.log import Protocol

__all__ = ["CATALOGUE", "DataSet"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """One public event log."""

    title: str
    homepage: str
    origins: Mapping[str, str | None]  # URL, the first one preferred -> checksum that it states
    licence: str
    size: str  # of the download, and rows
    protocol: Protocol
    fetch: Callable[[Path], tuple[Path, ...]]  # cache folder -> original files, downloaded
    read: Callable[..., tuple[pl.DataFrame, pl.DataFrame]]  # original files -> events, items


CATALOGUE = {
    "movielens-100k": DataSet(
        title="MovieLens 100K: film ratings, 1997-1998; every rating is a positive",
        homepage="https://grouplens.org/datasets/movielens/100k/",
        origins={
            sources.MOVIELENS_URL: sources.MOVIELENS_ZIP,
            sources.RECBOLE_URL: sources.RECBOLE_WHEEL,
        },
        licence="GroupLens: research use, no redistribution, no commercial use without permission",
        size="5 MB; 100,000 events",
        protocol="masked",
        fetch=sources.movielens,
        read=formats.movielens,
    ),
    "movietweetings": DataSet(
        title="MovieTweetings: film ratings taken from tweets, since 2013",
        homepage="https://github.com/sidooms/MovieTweetings",
        origins=dict.fromkeys(sources.MOVIETWEETINGS_URLS),
        licence="MIT",
        size="30 MB; about 900,000 events",
        protocol="masked",
        fetch=sources.movietweetings,
        read=formats.movietweetings,
    ),
    "online-retail": DataSet(
        title="Online Retail: purchases at a British gift shop, 2010-2011",
        homepage="https://archive.ics.uci.edu/dataset/352/online+retail",
        origins={sources.ONLINE_RETAIL_URL: None},
        licence="CC BY 4.0",
        size="23 MB; 397,884 events",
        protocol="next_basket",
        fetch=sources.online_retail,
        read=formats.online_retail,
    ),
    "yoochoose": DataSet(
        title="YooChoose clicks of the RecSys Challenge 2015; a user is a session",
        homepage="https://recsys.acm.org/recsys15/challenge/",
        origins={sources.YOOCHOOSE_URL: None},
        licence="research use, non-commercial",
        size="280 MB; 33,003,944 events",
        protocol="next_in_session",
        fetch=sources.yoochoose,
        read=formats.yoochoose,
    ),
    "kuairand-pure": DataSet(
        title="KuaiRand-Pure: short-video impressions, part of them shown at random, 2022",
        homepage="https://kuairand.com",
        origins={sources.KUAIRAND_URL: None},
        licence="CC BY-SA 4.0",
        size="45 MB; 1,436,609 events and more in the random part",
        protocol="impressions",
        fetch=sources.kuairand,
        read=formats.kuairand,
    ),
    "open-bandit": DataSet(
        title="Open Bandit, small: slots of a fashion shop, 2019, all shown at random",
        homepage="https://research.zozo.com/data.html",
        origins={sources.OBP_URL: sources.OBP_WHEEL},
        licence="CC BY 4.0",
        size="1 MB; 10,000 events with propensities",
        protocol="impressions",
        fetch=sources.open_bandit,
        read=formats.open_bandit,
    ),
}
