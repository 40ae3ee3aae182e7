"""Events made up from a seed."""

from recbench import columns as c
from recbench.benchmarks.generated import generated_events


def test_generated_events_are_canonical_in_order_and_repeatable():
    events = generated_events(1_000, seed=3)
    assert events.equals(generated_events(1_000, seed=3))
    assert {name: c.EVENT_DTYPES[name] for name in events.columns} == dict(events.schema)
    assert events[c.TS].is_sorted()
    assert events[c.CATEGORY].str.contains("|", literal=True).any()
    assert events[c.USER_ID].max() == 19  # 1,000 events, 50 a user
