"""The index of ids beside a dict."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recbench.features.online.ids import IdIndex

ids = st.lists(st.integers(-5, 40) | st.integers(-(2**63), 2**63 - 1), unique=True, max_size=60)


@given(st.lists(st.tuples(ids, st.integers(0, 2**32)), max_size=8))
@settings(max_examples=100, deadline=None)
def test_an_index_knows_what_a_dict_knows(steps):
    index, known = IdIndex(), {}
    for some, seed in steps:
        new = np.array([id_ for id_ in some if id_ not in known], dtype=np.int64)
        known |= dict(zip(new.tolist(), index.add(new).tolist(), strict=True))
        rows = np.array(list(known.values()), dtype=np.int64)
        gone = rows[np.random.default_rng(seed).random(len(rows)) < 0.3]
        index.remove(gone)
        known = {id_: row for id_, row in known.items() if row not in set(gone.tolist())}
        assert len(index) == len(known)
        assert index.live_rows().tolist() == sorted(known.values())
        asked = np.array([*some, *known, -77], dtype=np.int64)
        expected = [known.get(id_, -1) for id_ in asked.tolist()]
        assert index.rows(asked).tolist() == expected
        assert [index.row(id_) for id_ in asked.tolist()] == expected


def test_rows_that_were_given_back_are_used_first():
    index = IdIndex()
    assert index.add(np.array([7, 8, 9])).tolist() == [0, 1, 2]
    index.remove(np.array([1]))
    assert sorted(index.add(np.array([10, 11])).tolist()) == [1, 3]


def test_a_million_ids_take_less_than_thirty_bytes_each():
    index = IdIndex()
    index.add(np.arange(1_000_000) * 1_000_003)
    assert index.nbytes < 30e6
    assert index.rows(np.array([5 * 1_000_003, 6])).tolist() == [5, -1]
