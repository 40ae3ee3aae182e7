"""A text encoder on TensorRT-LLM: a checkpoint whose logits are its states, and what reads them.

TensorRT-LLM returns logits and, of the models it comes with, no hidden states. A checkpoint whose
head is the identity gives them as its first E logits, so no model of TensorRT-LLM is patched. The
checkpoint is tested with transformers; TensorRT-LLM itself was never run here: there was no GPU.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file

from recbench.errors import InputError

__all__ = ["embed_on_tensorrt_llm", "stateful_checkpoint"]

HEAD = "lm_head.weight"
CONFIG, INDEX = "config.json", "model.safetensors.index.json"
LONGEST = 128  # tokens, as `TextEncoder` reads


def stateful_checkpoint(source: Path, target: Path) -> Path:
    """Copy a model of Hugging Face with the identity as its head; returns ``target``.

    Only the file with the head is rewritten; the others are copied as they are.

    Args:
        source: folder with ``config.json``, tokenizer and safetensors, such as DeepSeek-V2-Lite's.
        target: a folder that is not there yet.

    Raises:
        InputError: the head is missing, tied to the embeddings, or has fewer rows than a state has
            values; or ``target`` is there.
    """
    if target.exists():
        raise InputError(f"{target} is there already: name a new folder")
    if not (source / CONFIG).is_file():
        raise InputError(f"{source} holds no {CONFIG}: give the folder of a model")
    config = json.loads((source / CONFIG).read_text(encoding="utf-8"))
    shard = _shard_of_head(source)
    if shard is None or config.get("tie_word_embeddings", False):
        raise InputError(
            f"{source} has no {HEAD} of its own, and the identity can take no other's place: "
            "give a causal model whose head is not tied to its embeddings"
        )
    weights = load_file(shard)
    n_rows, dim = weights[HEAD].shape
    if n_rows < dim:
        raise InputError(f"{HEAD} of {source} has {n_rows} rows, a state has {dim} values")
    weights[HEAD] = torch.eye(n_rows, dim, dtype=weights[HEAD].dtype)
    shutil.copytree(source, target, ignore=lambda *_: [shard.name])
    save_file(weights, target / shard.name, metadata={"format": "pt"})
    return target


def embed_on_tensorrt_llm(
    folder: Path,
    texts: Sequence[str],
    *,
    pooling: Literal["mean", "last"] = "mean",
    max_length: int = LONGEST,
    **options: Any,
) -> npt.NDArray[np.float32]:
    """(N, E) unit vectors as ``TextEncoder.embed`` gives them; an empty text is zeros.

    Args:
        folder: of ``stateful_checkpoint``.
        texts: any length; longer ones than ``max_length`` tokens are cut.
        pooling: the mean over tokens, or the last token's state.
        max_length: tokens of a text that are read.
        options: further ones of ``tensorrt_llm.LLM``, such as ``tensor_parallel_size``.

    Raises:
        InputError: TensorRT-LLM is not installed here.
    """
    try:
        from tensorrt_llm import LLM, SamplingParams
        from tensorrt_llm.llmapi import KvCacheConfig
    except ImportError as error:
        raise InputError(
            f"This needs tensorrt_llm, CUDA and an NVIDIA GPU: {error}. `pip install tensorrt-llm` "
            "in an environment of its own; without it `TextEncoder` gives the same vectors"
        ) from error
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    dim = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["hidden_size"]
    vectors = np.zeros((len(texts), dim), dtype=np.float32)
    at = [row for row, text in enumerate(texts) if text.strip()]
    tokens = [tokenizer(texts[row])["input_ids"][:max_length] for row in at]
    # a reused block of the cache has no logits
    cache = KvCacheConfig(enable_block_reuse=False)
    llm = LLM(model=str(folder), kv_cache_config=cache, **options)
    asked = SamplingParams(max_tokens=1, return_context_logits=True)  # one token is the least
    for row, answer in zip(at, llm.generate(tokens, asked), strict=True):
        states = answer.context_logits[:, :dim].float().cpu().numpy()  # (L, E)
        pooled = states[-1] if pooling == "last" else states.mean(axis=0)
        vectors[row] = pooled / np.linalg.norm(pooled)
    return vectors


def _shard_of_head(source: Path) -> Path | None:
    """The file that holds the head; None where none does."""
    if (source / INDEX).is_file():
        held = json.loads((source / INDEX).read_text(encoding="utf-8"))["weight_map"]
        return source / held[HEAD] if HEAD in held else None
    from safetensors import safe_open

    for path in sorted(source.glob("*.safetensors")):
        with safe_open(path, framework="pt") as weights:
            if HEAD in weights.keys():  # noqa: SIM118  # no mapping
                return path
    return None
