"""Every rival tries as many dials as any other, the sensible ones first."""

import numpy as np
import pytest

from recbench.benchmarks.quality.costs import Spent, single_query_ms
from recbench.benchmarks.quality.mix import Mix, best_mix
from recbench.benchmarks.quality.peers import ForeignLists
from recbench.benchmarks.quality.rivals import rivals
from recbench.errors import InputError
from recbench.evaluation.exam import Exam
from recbench.models.baselines import PersonalFrequency, Popularity, RecencyPopularity
from recbench.tables.log import catalogue
from recbench.tables.queries import InteractionLog


@pytest.fixture(scope="module")
def exam(tiny_data):
    at = int(tiny_data.events["ts"].dt.epoch("us")[2000])
    past, test = tiny_data.events[:2000], tiny_data.events[2000:]
    found = Exam.of(
        protocol="next_basket", past=past, test=test, at=at, items=catalogue(tiny_data), k=5
    )
    return found.known_only()


@pytest.mark.parametrize("protocol", ["masked", "next_basket", "next_in_session"])
def test_trials_begin_with_the_first_dials_and_never_repeat(protocol):
    for rival in rivals(protocol):
        tried = rival.trials(3, seed=0)
        assert tried[0] == {name: values[0] for name, values in rival.dials.items()}
        assert len({tuple(dials.items()) for dials in tried}) == len(tried) <= 3
        assert tried == rival.trials(3, seed=0)


def test_sessions_have_markov_and_vsknn_beside_everything_else():
    names = {rival.name for rival in rivals("next_in_session")}
    assert names - {rival.name for rival in rivals("masked")} == {
        "first-order Markov",
        "Markov, two-way",
        "V-SKNN",
    }


def test_personal_frequency_fills_its_lists_up_with_what_is_popular(exam):
    log, at = exam.queries.log, int(exam.queries.ts[0])
    (rival,) = [each for each in rivals("next_basket") if each.name == "personal frequency"]
    scores = rival.fit(log, at=at, seed=0, half_life_days=120.0).score_items(exam.queries)
    own = PersonalFrequency(log.items).score_items(exam.queries)
    popular = RecencyPopularity.fit(log, at=at, half_life_s=4 * 86_400.0).score_items(exam.queries)
    for mine, taken, known in zip(scores, own > 0, popular, strict=True):
        assert mine[taken].min() > mine[~taken].max()
        assert (np.diff(mine[~taken][np.argsort(known[~taken], kind="stable")]) >= 0).all()


def test_the_best_mix_is_the_one_that_the_exam_likes_best(exam):
    log = exam.queries.log
    at = int(exam.queries.ts[0])
    popular = RecencyPopularity.fit(log, at=at, half_life_s=86_400.0)  # no two scores are equal
    models = {"own": PersonalFrequency(log.items), "popularity": popular}
    weights = [(1.0, 0.0), (0.0, 1.0), (1.0, 0.3)]
    mix, values = best_mix(models, exam, weights)
    graded = [exam.score(Mix(models, each), group="all") for each in weights]
    assert values == pytest.approx(graded)
    assert mix.weights == weights[int(np.argmax(graded))]


def test_a_mix_scales_each_model_to_the_querys_largest(exam):
    popular = Popularity.fit(exam.queries.log)
    mixed = Mix({"a": popular, "b": popular}, (1.0, 0.5)).score_items(exam.queries)
    assert mixed.max(axis=1) == pytest.approx(np.full(len(exam.queries), 1.5))


def test_work_is_counted_with_its_memory():
    with Spent() as spent:
        held = np.ones(40_000_000)  # 320 MB
        held += 1
    assert spent.cpu_s > 0
    assert spent.joules > 0
    assert spent.peak_bytes is None or 300e6 < spent.peak_bytes < 1e9


def test_single_answers_are_timed(exam):
    found = single_query_ms(Popularity.fit(exam.queries.log), exam.queries, k=5, n=10)
    assert 0 < found["p50_ms"] <= found["p99_ms"]


def test_foreign_lists_answer_what_they_were_asked_and_nothing_else(exam):
    queries = exam.queries.take(slice(0, 2))
    rows = np.array([[3, 1], [0, 2]])
    scores = np.array([[9.0, 5.0], [2.0, -2.0]], dtype=np.float32)
    model = ForeignLists.of(queries, rows, scores)
    backwards = model.score_items(queries.take(slice(None, None, -1)))
    assert backwards[1, 3] == 1.0
    assert backwards[0, 0] == 1.0
    assert np.count_nonzero(backwards) == 2  # the last of each list is as far as any other
    with pytest.raises(InputError, match=f"User and instant \\({exam.queries.user_ids[2]}"):
        model.score_items(exam.queries.take(slice(2, 3)))


@pytest.mark.slow
def test_recboles_models_rank_in_their_own_environment(exam):
    from recbench.benchmarks.peers_python import peers_python
    from recbench.benchmarks.quality.peers import PEERS, foreign_lists

    if peers_python() is None:
        pytest.skip("the environment of peers is not built: make env-peers")
    log = InteractionLog.from_events(exam.train, items=exam.queries.items)
    for name in PEERS:
        lists, figures = foreign_lists(name, log, exam.queries, epochs=[1, 3], length=8)
        assert set(lists) == {1, 3}
        assert exam.score(lists[3]) > 0.05  # each user keeps to half of 40 items
        assert figures["examples_per_s"] > 0
