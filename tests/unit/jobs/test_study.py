from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from recbench.errors import InputError
from recbench.evaluation.exam import Exam
from recbench.evaluation.recommender import recommend
from recbench.jobs.compare import baselines, best_half_life, result_table
from recbench.jobs.study import MODEL, REFERENCE, Study, experiment
from recbench.models.baselines import RecencyPopularity
from recbench.refresh import Registry
from recbench.serving import ReleasedRecommender
from recbench.tables.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def study(tiny_data, tiny_experiment):
    return Study.of(tiny_data, tiny_experiment, k=5)


@pytest.fixture(scope="module")
def prior(study):
    return study.tune_prior()


@pytest.fixture(scope="module")
def measured(study, prior):
    return study.fit_on_train(prior)


@pytest.fixture(scope="module")
def final(study, prior, measured):
    return study.fit_on_past(prior, steps=measured.steps)


@pytest.fixture(scope="module")
def results(study, prior, final):
    return study.results(final, prior)


@pytest.fixture(scope="module")
def released(study, prior, measured, results, graphs_once, tmp_path_factory):
    workspace = tmp_path_factory.mktemp("workspace")
    fitted = study.fit_on_all(prior, steps=measured.steps)
    return fitted, workspace, study.release(fitted, results, workspace=workspace)


def test_the_half_life_is_the_best_of_its_table(prior):
    best = prior.table.sort("ndcg@5", descending=True)["half_life_days"][0]
    assert prior.half_life_days == best


def test_every_fit_sees_its_part_of_the_log_and_no_more(study, measured, final):
    assert measured.at == round(study.split.validation_ts.timestamp() * 1e6)
    assert measured.log.ts.max() < measured.at <= final.log.ts.max() < final.at


def test_the_table_has_every_model_with_paired_differences(study, results):
    table = study.table(results)
    names = {"two-tower", "recency popularity", "popularity", "ItemKNN", "ALS", "EASE"}
    blends = {f"{name} + recency" for name in ("ItemKNN", "ALS", "EASE")}
    assert set(table["model"]) == names | blends
    reference = table.filter(pl.col("model") == REFERENCE)
    assert reference[f"vs {REFERENCE}"][0] == "+0.0000 [+0.0000, +0.0000]"
    assert table["ndcg@5 all"].is_sorted(descending=True)


def test_one_seed_gives_one_result(study, prior, measured, results):
    again = study.results(study.fit_on_past(prior, steps=measured.steps), prior)
    assert again[MODEL].by_user.equals(results[MODEL].by_user)


def test_the_release_answers_as_the_model_that_was_trained(released):
    fitted, workspace, _ = released
    model = ReleasedRecommender.load(Registry(workspace / "registry").open())
    users = np.append(fitted.log.users.ids, 10**9)
    ours = recommend(fitted.model, fitted.log.queries(users, fitted.at), k=5)
    served = model.recommend(users, k=5)
    assert served.drop("score").equals(ours.drop("score"))
    assert served["score"].to_numpy() == pytest.approx(ours["score"].to_numpy(), abs=1e-4)


def test_the_release_repeats_nothing_of_a_history(released, tiny_events):
    _, workspace, _ = released
    model = ReleasedRecommender.load(Registry(workspace / "registry").open())
    lists = model.recommend(model.users.ids, k=10)
    assert not len(lists.join(tiny_events, on=["user_id", "item_id"], how="semi"))
    assert lists["user_id"].n_unique() == len(model.users)


def test_the_manifest_binds_what_the_release_is_made_of(released, study):
    _, _, made = released
    manifest = made.release.manifest
    assert manifest.data == "tiny"
    assert manifest.watermark == str(study.data.watermark)
    assert manifest.metrics["measured"] == "before refit"
    assert manifest.parity["largest_difference"] < 1e-4
    assert {"query_tower.onnx", "index.safetensors", "interactions.parquet"} <= set(manifest.files)


def test_a_release_of_the_past_holds_nothing_of_the_test(
    study, final, results, graphs_once, tmp_path
):
    made = study.release(final, results, workspace=tmp_path, publish=False)
    held = pl.read_parquet(made.release.path("interactions.parquet"))
    assert held["ts"].max() < study.split.test_ts
    assert Registry(tmp_path / "registry").current() is None


def test_sessions_are_examined_event_by_event_with_their_prefix(tiny_data):
    sessions = replace(tiny_data, protocol="next_in_session")
    study = Study.of(sessions, experiment(seed=0, embedding_dim=8, max_steps=4), k=5)
    items = Vocabulary.of(tiny_data.items["item_id"])
    exam = Exam.of(
        protocol=sessions.protocol,
        past=study.split.past,
        test=study.split.test,
        at=0,
        items=items,
        k=5,
    )
    assert len(exam.queries) == exam.test["user_id"].n_unique() == len(exam.test)
    last = exam.queries.ends - 1
    assert (exam.queries.log.ts[last] < exam.queries.ts).all()
    assert exam.repeats


def test_a_study_of_sessions_runs_through(tiny_data):
    sessions = replace(tiny_data, protocol="next_in_session")
    study = Study.of(sessions, experiment(seed=0, embedding_dim=8, max_steps=4), k=5)
    prior = study.tune_prior()
    final = study.fit_on_past(prior, steps=2)
    assert study.results(final, prior)[MODEL].interval("ndcg@5").n_users > 50


def test_ease_is_left_out_of_large_catalogues(tiny_fit, monkeypatch):
    monkeypatch.setattr("recbench.jobs.compare.EASE_ITEMS", 3)
    assert "EASE" not in baselines(tiny_fit.log, tiny_fit.prior)


def test_the_best_half_life_follows_what_is_clicked(tiny_fit):
    # everybody clicks item 10 long ago, item 20 lately and in the test
    at = 10 * 86_400_000_000
    day = 86_400_000_000
    users = np.repeat(np.arange(5), 5)
    frame = pl.DataFrame(
        {
            "user_id": np.append(users, [9]),
            "item_id": np.append(np.tile([10, 11, 12, 10, 11], 5), [20]),
            "ts": pl.Series(np.append(np.full(25, day), [at - day])).cast(pl.Datetime("us", "UTC")),
        }
    )
    test = pl.DataFrame(
        {
            "user_id": [0, 1],
            "item_id": [20, 20],
            "ts": pl.Series([at, at]).cast(pl.Datetime("us", "UTC")),
            "clicked": [True, True],
        }
    )
    from recbench.tables.queries import InteractionLog

    log = InteractionLog.from_events(frame)
    queries = log.queries(np.array([0, 1]), at)
    exam = Exam(queries, frame, test, repeats=True, k=1)
    best, _ = best_half_life(log, exam, at=at, half_lives_s=(86_400.0, 1e9))
    assert best == 86_400.0


def test_an_unknown_engine_is_refused(tiny_data, tiny_experiment):
    with pytest.raises(InputError, match="'tpu'"):
        Study.of(tiny_data, tiny_experiment, engine="tpu")


def test_results_are_sorted_and_carry_bounds(results):
    table = result_table(results, reference=REFERENCE, metric="ndcg@5")
    known = table.filter(pl.col("low").is_not_null())
    assert (known["low"] <= known["ndcg@5 known"]).all()
    assert (known["ndcg@5 known"] <= known["high"]).all()


def test_recency_popularity_of_the_fit_is_as_of_its_end(final, prior):
    expected = RecencyPopularity.fit(final.log, at=final.at, half_life_s=prior.half_life_s)
    assert np.array_equal(final.prior.popularity, expected.popularity)
