"""The logits of the exported checkpoint are the encoder's states; TensorRT-LLM is not here."""

import json
import shutil
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from recbench.errors import InputError
from recbench.models.text.encoder import TextEncoder
from recbench.models.text.tensorrt_llm import embed_on_tensorrt_llm, stateful_checkpoint

TEXTS = ["the red planet", "", "a day at sea"]


@pytest.fixture(scope="module")
def causal_folder(deepseek_folder, tmp_path_factory):
    """The small DeepSeek-V2 with a head of 100 tokens, in several files."""
    from transformers import DeepseekV2Config, DeepseekV2ForCausalLM

    folder = tmp_path_factory.mktemp("causal")
    config = DeepseekV2Config.from_pretrained(deepseek_folder)
    config.vocab_size, config.tie_word_embeddings = 100, False
    torch.manual_seed(2)
    DeepseekV2ForCausalLM(config).save_pretrained(folder, max_shard_size="40KB")
    for path in deepseek_folder.glob("tokenizer*"):
        shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module")
def exported(causal_folder, tmp_path_factory):
    return stateful_checkpoint(causal_folder, tmp_path_factory.mktemp("states") / "model")


def logits_of(folder, tokens):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=False).eval()
    with torch.no_grad():
        return model(torch.tensor([tokens])).logits[0]


def test_the_first_logits_are_the_last_states(causal_folder, exported):
    from transformers import AutoModel

    tokens = [3, 5, 8, 1]
    model = AutoModel.from_pretrained(causal_folder, trust_remote_code=False).eval()
    with torch.no_grad():
        states = model(torch.tensor([tokens])).last_hidden_state[0]
    logits = logits_of(exported, tokens)
    torch.testing.assert_close(logits[:, :64], states)
    assert (logits[:, 64:] == 0).all()


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_what_reads_them_gives_the_vectors_of_the_text_encoder(
    causal_folder, exported, monkeypatch, pooling
):
    """TensorRT-LLM's calls are answered by transformers: no word on TensorRT-LLM itself."""

    class LLM:
        def __init__(self, model, kv_cache_config):
            self.folder = model
            assert not kv_cache_config.enable_block_reuse

        def generate(self, prompts, asked):
            assert asked.return_context_logits
            return [SimpleNamespace(context_logits=logits_of(self.folder, p)) for p in prompts]

    package, api = ModuleType("tensorrt_llm"), ModuleType("tensorrt_llm.llmapi")
    package.LLM, package.SamplingParams = LLM, SimpleNamespace
    api.KvCacheConfig = SimpleNamespace
    monkeypatch.setitem(sys.modules, "tensorrt_llm", package)
    monkeypatch.setitem(sys.modules, "tensorrt_llm.llmapi", api)
    found = embed_on_tensorrt_llm(exported, TEXTS, pooling=pooling)
    expected = TextEncoder.load(causal_folder, pooling=pooling).embed(TEXTS)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_without_tensorrt_llm_it_says_what_is_missing(exported, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt_llm", None)
    with pytest.raises(InputError, match="needs tensorrt_llm, CUDA and an NVIDIA GPU"):
        embed_on_tensorrt_llm(exported, TEXTS)


def test_a_model_without_a_head_of_its_own_is_refused(deepseek_folder, causal_folder, tmp_path):
    with pytest.raises(InputError, match=r"has no lm_head\.weight of its own"):
        stateful_checkpoint(deepseek_folder, tmp_path / "model")
    tied = shutil.copytree(causal_folder, tmp_path / "tied")
    config = json.loads((tied / "config.json").read_text()) | {"tie_word_embeddings": True}
    (tied / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"has no lm_head\.weight of its own"):
        stateful_checkpoint(tied, tmp_path / "model")


def test_no_folder_is_written_over_and_none_is_made_up(causal_folder, tmp_path):
    with pytest.raises(InputError, match="is there already"):
        stateful_checkpoint(causal_folder, tmp_path)
    with pytest.raises(InputError, match=r"holds no config\.json"):
        stateful_checkpoint(tmp_path, tmp_path / "model")
