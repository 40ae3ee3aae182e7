"""Texts to vectors: alone as in a batch, once and not again, and adapted to a log."""

import subprocess
import sys

import numpy as np
import polars as pl
import pytest
import torch

from recbench.errors import InputError
from recbench.models.text import TextEncoder, text_embeddings
from recbench.models.text.adapters import fine_tune, load_adapters, save_adapters
from recbench.models.text.cache import cached_embeddings
from recbench.models.text.embeddings import item_texts
from recbench.tables.queries import InteractionLog
from recbench.tables.vocabulary import Vocabulary

pytest.importorskip("transformers", reason="extra `llm` is not installed")

TEXTS = ["The red star", "night", "a love story of the river", "Star Wars , space drama", "day"]


@pytest.fixture(scope="module", params=["deepseek", "bert"])
def encoder(request, deepseek_folder, bert_folder):
    return TextEncoder.load({"deepseek": deepseek_folder, "bert": bert_folder}[request.param])


@pytest.fixture
def adaptable(deepseek_folder):
    return TextEncoder.load(deepseek_folder)


def test_a_text_is_encoded_alone_as_in_a_batch(encoder):
    together = encoder.embed(TEXTS)
    alone = np.concatenate([encoder.embed([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, rtol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 1e-2


def test_the_order_and_size_of_batches_do_not_matter(encoder):
    small = encoder.embed(TEXTS[::-1], batch_size=2)[::-1]
    np.testing.assert_allclose(small, encoder.embed(TEXTS), atol=1e-5)


def test_an_empty_text_is_zeros_and_no_text_is_no_row(encoder):
    vectors = encoder.embed(["", "night", "  "])
    assert not vectors[[0, 2]].any()
    assert vectors[1].any()
    assert encoder.embed([]).shape == (0, encoder.dim)


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_pooling_is_that_of_the_hidden_states(deepseek_folder, pooling):
    encoder = TextEncoder.load(deepseek_folder, pooling=pooling)
    ids = torch.tensor([encoder.tokenizer("a red night")["input_ids"]])
    with torch.no_grad():
        states = encoder.model(input_ids=ids).last_hidden_state[0]
    expected = states.mean(dim=0) if pooling == "mean" else states[-1]
    found = encoder.embed(["a red night", "star wars of the day"])[0]
    np.testing.assert_allclose(found, (expected / expected.norm()).numpy(), atol=1e-5)


def test_long_texts_are_cut_and_counted(deepseek_folder):
    encoder = TextEncoder.load(deepseek_folder, max_length=3)
    vectors = encoder.embed(["the red star", "the red star of the night"])
    assert encoder.n_truncated == 1
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)


def test_what_was_encoded_is_not_encoded_again(encoder, tmp_path, monkeypatch):
    first = cached_embeddings(encoder, TEXTS[:3], folder=tmp_path)
    asked, embed = [], encoder.embed
    monkeypatch.setattr(
        encoder, "embed", lambda texts, **rest: asked.extend(texts) or embed(texts, **rest)
    )
    again = cached_embeddings(encoder, [*TEXTS, TEXTS[0]], folder=tmp_path)
    assert asked == TEXTS[3:]
    assert np.array_equal(again[:3], first)
    assert np.array_equal(again[5], first[0])


def test_another_pooling_has_another_cache(deepseek_folder, tmp_path):
    for pooling in ("mean", "last"):
        encoder = TextEncoder.load(deepseek_folder, pooling=pooling)
        cached_embeddings(encoder, TEXTS, folder=tmp_path)
    assert len([*tmp_path.glob("*.safetensors")]) == 2


@pytest.mark.parametrize("at", [-1, 20])
def test_a_damaged_cache_is_told(encoder, tmp_path, at):
    cached_embeddings(encoder, TEXTS, folder=tmp_path)
    (path,) = tmp_path.glob("*.safetensors")
    content = bytearray(path.read_bytes())
    content[at] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"{path.name} is damaged"):
        cached_embeddings(encoder, TEXTS, folder=tmp_path)


# forked once all is imported and loaded: that takes a process seconds
TWO_PROCESSES = """
import os
import sys
from pathlib import Path

from recbench.models.text import TextEncoder
from recbench.models.text.cache import cached_embeddings

encoder = TextEncoder.load(sys.argv[1])
other = os.fork()
for word in sys.argv[3:6] if other else sys.argv[6:]:
    cached_embeddings(encoder, [f"{word} night"], folder=Path(sys.argv[2]), label="")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]) if other else 0)
"""


def test_two_processes_share_a_cache(deepseek_folder, tmp_path):
    words = ["red", "blue", "star", "love", "day", "space"]
    command = [sys.executable, "-c", TWO_PROCESSES, deepseek_folder, tmp_path, *words]
    assert subprocess.run(command, timeout=120, check=False).returncode == 0
    encoder = TextEncoder.load(deepseek_folder)
    encoder.embed = None  # everything is there
    texts = [f"{word} night" for word in words]
    assert cached_embeddings(encoder, texts, folder=tmp_path).shape == (6, encoder.dim)


def test_items_are_told_by_title_and_category():
    items = pl.DataFrame(
        {"item_id": [7, 9, 11], "category": ["A|B", None, None], "title": ["Red", "Blue", None]}
    )
    assert item_texts(items, Vocabulary([11, 9, 7, 5])) == ["", "Blue", "Red. A, B", ""]


def test_items_without_any_text_are_refused():
    with pytest.raises(InputError, match=r"`title` or `category` .* got \['item_id'\]"):
        item_texts(pl.DataFrame({"item_id": [1]}), Vocabulary([1]))


def test_every_item_of_the_catalogue_has_its_vector(encoder, tmp_path):
    items = pl.DataFrame({"item_id": [7, 9], "title": ["the red star", "night"]})
    vectors = text_embeddings(items, Vocabulary([9, 5, 7]), encoder=encoder, folder=tmp_path)
    expected = encoder.embed(["night", "", "the red star"])
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


@pytest.fixture
def log():
    # users go from "red" items to "blue" ones: 0 -> 1, 2 -> 3
    rows = [(user, item, step) for user in range(40) for step, item in enumerate([0, 1, 2, 3])]
    start = pl.Series([0]).cast(pl.Datetime("us", "UTC"))[0]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "step"], orient="row")
    return InteractionLog.from_events(
        frame.with_columns(ts=pl.lit(start) + pl.duration(seconds=pl.col("step")))
    )


PAIRED = ["the red star", "a love story", "night of wars", "space comedy"]


def test_adapters_learn_what_is_clicked_together_and_nothing_else_moves(adaptable, log):
    before = {n: w.clone() for n, w in adaptable.model.named_parameters()}
    fingerprint = adaptable.fingerprint
    losses = fine_tune(adaptable, PAIRED, log, steps=40, batch_size=16, learning_rate=5e-3)
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.1
    after = {
        name.removeprefix("base_model.model.").replace(".base_layer", ""): weight
        for name, weight in adaptable.model.named_parameters()
        if "lora_" not in name
    }
    assert all(torch.equal(after[name], weight) for name, weight in before.items())
    assert adaptable.fingerprint != fingerprint


def test_saved_adapters_give_the_same_vectors(adaptable, deepseek_folder, log, tmp_path):
    plain = adaptable.embed(PAIRED)
    fine_tune(adaptable, PAIRED, log, steps=5, batch_size=16, learning_rate=5e-3)
    save_adapters(adaptable, tmp_path)
    assert not [*tmp_path.glob("*.bin")]
    again = TextEncoder.load(deepseek_folder)
    load_adapters(again, tmp_path)
    np.testing.assert_allclose(again.embed(PAIRED), adaptable.embed(PAIRED), atol=1e-6)
    assert again.fingerprint == adaptable.fingerprint
    assert np.abs(plain - adaptable.embed(PAIRED)).max() > 1e-3


def test_a_log_without_pairs_cannot_teach(adaptable, log):
    with pytest.raises(InputError, match="160 clicks give 0 pairs"):
        fine_tune(adaptable, ["", "", "", "night"], log, steps=1)


def test_a_folder_without_adapters_is_refused(adaptable, tmp_path):
    with pytest.raises(InputError, match="holds no adapter_model.safetensors"):
        load_adapters(adaptable, tmp_path)


@pytest.mark.parametrize(
    ("gone", "told"),
    [
        ("config.json", "a configuration"),
        ("model.safetensors", "weights as safetensors"),
        ("tokenizer*", "a tokenizer"),
    ],
)
def test_a_folder_with_a_part_missing_is_refused(deepseek_folder, tmp_path, gone, told):
    for path in deepseek_folder.iterdir():
        if not path.match(gone):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(InputError, match=told):
        TextEncoder.load(tmp_path)


def test_pickled_weights_are_refused(deepseek_folder, tmp_path):
    for path in deepseek_folder.iterdir():
        (tmp_path / path.name.replace(".safetensors", ".bin")).write_bytes(path.read_bytes())
    with pytest.raises(InputError, match=r"safetensors.*model\.bin"):
        TextEncoder.load(tmp_path)


def test_a_path_that_is_not_there_is_no_name_on_the_hub():
    with pytest.raises(InputError, match="'./nowhere' is no folder"):
        TextEncoder.load("./nowhere")


def test_without_transformers_the_next_step_is_named(deepseek_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InputError, match=r"pip install 'recbench\[llm\]'"):
        TextEncoder.load(deepseek_folder)
