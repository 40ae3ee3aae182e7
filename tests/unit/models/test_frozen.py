from dataclasses import replace

import numpy as np
import pytest

from recbench.evaluation.recommender import recommend


def test_a_query_without_history_gets_exactly_recency_popularity(tiny_fit):
    nobody = np.array([10**9, 10**9 + 1])
    queries = tiny_fit.log.queries(nobody, tiny_fit.at)
    scores = tiny_fit.model.score_items(queries)
    assert np.array_equal(scores, tiny_fit.prior.score_items(queries))


def test_an_untrained_model_ranks_known_users_nearly_as_its_prior(tiny_untrained):
    users = tiny_untrained.log.users.ids[:20]
    queries = tiny_untrained.log.queries(users, tiny_untrained.at)
    ours = recommend(tiny_untrained.model, queries, k=5, repeats=True)
    prior = recommend(tiny_untrained.prior, queries, k=5, repeats=True)
    shared = ours.join(prior, on=["user_id", "item_id"], how="semi")
    assert len(shared) / len(ours) > 0.6  # cosines of at most 1 against log popularities


def test_one_request_is_answered_as_in_a_batch(tiny_fit):
    users = np.append(tiny_fit.log.users.ids[:5], 10**9)
    queries = tiny_fit.log.queries(users, tiny_fit.at)
    together = tiny_fit.model.score_items(queries)
    for row in range(len(queries)):
        alone = tiny_fit.model.score_items(queries.take(slice(row, row + 1)))
        assert alone[0] == pytest.approx(together[row], rel=1e-5, abs=1e-5)


def test_a_fresher_history_changes_the_answer(tiny_fit):
    user = tiny_fit.log.users.ids[:1]
    late = tiny_fit.log.queries(user, tiny_fit.at)
    early = late.take(slice(0, 1))
    early = replace(early, ends=early.ends - 3)
    assert not np.allclose(
        tiny_fit.model.score_items(late), tiny_fit.model.score_items(early), atol=1e-4
    )
