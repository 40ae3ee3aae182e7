"""Candidates are the union of what retrievers bring, and of nothing else."""

import numpy as np
import pytest

from recbench.errors import InputError
from recbench.models.baselines import PersonalFrequency, Popularity
from recbench.models.ranking import Retrievers
from recbench.tables.vocabulary import Vocabulary


@pytest.fixture
def log(tiny_data):
    from recbench.tables.queries import InteractionLog

    items = Vocabulary.of(tiny_data.items["item_id"])
    return InteractionLog.from_events(tiny_data.events, items=items)


@pytest.fixture
def queries(log):
    return log.queries(log.users.ids[:5], int(log.ts.max()) + 1)


def test_each_retriever_brings_its_best(log, queries):
    popular, own = Popularity.fit(log), PersonalFrequency(log.items)
    found = Retrievers({"popular": popular, "own": own}, n_each=3, repeats=True).candidates(queries)
    for row in range(len(queries)):
        best = [
            set(np.argsort(-model.score_items(queries)[row], kind="stable")[:3])
            for model in (popular, own)
        ]
        assert set(found.rows[row][found.held[row]]) == best[0] | best[1]


def test_every_candidate_has_the_score_of_every_retriever(log, queries):
    models = {"popular": Popularity.fit(log), "own": PersonalFrequency(log.items)}
    found = Retrievers(models, n_each=3, repeats=True).candidates(queries)
    for number, model in enumerate(models.values()):
        scores = np.take_along_axis(model.score_items(queries), np.maximum(found.rows, 0), axis=1)
        assert np.array_equal(found.scores[..., number], np.where(found.held, scores, 0))


def test_what_was_taken_is_no_candidate_where_items_are_taken_once(log, queries):
    found = Retrievers({"own": PersonalFrequency(log.items)}, n_each=9, repeats=False)
    assert not found.candidates(queries).held.any()


def test_a_score_of_zero_brings_nothing(log):
    nobody = log.queries(np.array([-1]), int(log.ts.max()) + 1)
    found = Retrievers({"own": PersonalFrequency(log.items)}, n_each=9, repeats=True)
    assert found.candidates(nobody).held.sum() == 0


def test_retrievers_of_two_catalogues_are_refused(log):
    other = PersonalFrequency(Vocabulary([1, 2]))
    with pytest.raises(InputError, match="2 ids, first"):
        Retrievers({"a": PersonalFrequency(log.items), "b": other}, n_each=1, repeats=True)


def test_a_union_of_nothing_is_refused():
    with pytest.raises(InputError, match=r"got \[\] with 5"):
        Retrievers({}, n_each=5, repeats=True)
