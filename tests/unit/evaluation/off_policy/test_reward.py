import polars as pl
import pytest

from recbench.errors import InputError
from recbench.evaluation.off_policy.reward import Reward

SHOWN = pl.DataFrame(
    {"clicked": [True, True, False, True, None], "watch_ms": [30_000, 90_000, None, None, None]}
)


def test_rewards_are_clicks_watch_time_or_a_mixture():
    assert Reward.parse("click").of(SHOWN).to_list() == [1, 1, 0, 1, None]
    # a click whose watch time never came is unknown, and so is a row without a label
    assert Reward.parse("watch").of(SHOWN).to_list() == [0.5, 1, 0, None, None]
    assert Reward.parse("mixture:0.25").of(SHOWN).to_list()[:3] == [0.875, 1, 0]


def test_full_watch_is_what_earns_all():
    assert Reward.parse("watch", full_watch_ms=120_000).of(SHOWN).to_list()[0] == 0.25


@pytest.mark.parametrize("text", ["sales", "mixture", "mixture:2", "mixture:much"])
def test_other_rewards_are_refused(text):
    with pytest.raises(InputError, match=f"got '{text}'"):
        Reward.parse(text)


def test_reward_without_its_column_is_refused():
    with pytest.raises(InputError, match=r"needs the columns \['watch_ms'\]"):
        Reward.parse("watch").of(SHOWN.select("clicked"))
    with pytest.raises(InputError, match="`full_watch_ms` must be positive, got 0"):
        Reward(full_watch_ms=0)
