"""A pretrained language model as an encoder of item texts."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from recbench.errors import InputError
from recbench.files import sha256_of
from recbench.progress import bar

__all__ = ["TextEncoder"]

Pooling = Literal["mean", "last"]
FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")  # no pickles, no code
LONGEST = 128  # tokens; titles are far shorter


class TextEncoder:
    """Unit vectors of texts from any causal or embedding model of Hugging Face.

    Such as ``deepseek-ai/DeepSeek-V2-Lite`` from the hub (31 GB), or a local folder. Weights are
    read from safetensors only, and code that a model brings is never run.
    """

    def __init__(
        self, model: Any, tokenizer: Any, *, fingerprint: str, pooling: Pooling, max_length: int
    ) -> None:
        """``fingerprint`` tells what the vectors depend on; see ``load``."""
        self.model = model
        self.tokenizer = tokenizer
        self.fingerprint = fingerprint
        self.pooling = pooling
        self.max_length = max_length
        self.n_truncated = 0  # texts of the last ``embed`` that were longer

    @classmethod
    def load(
        cls,
        name: str | Path,
        *,
        pooling: Pooling = "mean",
        max_length: int = LONGEST,
        device: str = "cpu",
        dtype: Literal["float32", "bfloat16"] = "float32",
    ) -> Self:
        """From a local folder, or by its name on the hub.

        Args:
            name: a folder with ``config.json``, tokenizer and safetensors; else ``owner/model``.
            pooling: the mean over tokens, or the last token's state.
            max_length: tokens of a text that are read.
            device: such as ``"cpu"`` or ``"cuda"``.
            dtype: of the weights.

        Raises:
            InputError: a file is missing, or the extra ``llm`` is not installed.
        """
        if pooling not in get_args(Pooling):
            raise InputError(f"`pooling` must be one of {get_args(Pooling)}, got {pooling!r}")
        try:
            from transformers import AutoModel, AutoTokenizer
        except ModuleNotFoundError as error:
            raise InputError(
                f"Text encoders need transformers: {error}. Run `pip install 'recbench[llm]'`"
            ) from error
        folder = _folder(str(name))
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        model = AutoModel.from_pretrained(
            folder, trust_remote_code=False, use_safetensors=True, dtype=getattr(torch, dtype)
        )
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
        return cls(
            model.to(device).eval(),
            tokenizer,
            fingerprint=_fingerprint(folder, pooling, str(max_length), dtype),
            pooling=pooling,
            max_length=max_length,
        )

    def embed(
        self, texts: Sequence[str], *, batch_size: int = 64, label: str = ""
    ) -> npt.NDArray[np.float32]:
        """(N, E) unit vectors; an empty text is zeros.

        Args:
            texts: any length; longer ones than ``max_length`` tokens are cut and counted.
            batch_size: texts a pass; those of one pass are of about one length.
            label: of a progress bar; none without.
        """
        tokens = self.tokenizer(list(texts), add_special_tokens=True)["input_ids"] if texts else []
        self.n_truncated = sum(len(ids) > self.max_length for ids in tokens)
        order = sorted(
            (at for at, text in enumerate(texts) if text.strip() and tokens[at]),
            key=lambda at: len(tokens[at]),
        )
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        done = bar(len(order), label=label, unit="text", disable=not label)
        with done, torch.inference_mode():
            for start in range(0, len(order), batch_size):
                chosen = order[start : start + batch_size]
                vectors[chosen] = self.encode([texts[at] for at in chosen]).cpu().numpy()
                done.update(len(chosen))
        return vectors

    def encode(self, texts: Sequence[str]) -> Tensor:
        """(N, E) float32 unit vectors of texts that are not empty, with gradients if asked for."""
        batch = self.tokenizer(
            list(texts),
            padding=True,
            padding_side="right",
            truncation=True,
            max_length=self.max_length,
            return_tensors="pt",
        ).to(self.model.device)
        mask = batch["attention_mask"]
        states = self.model(input_ids=batch["input_ids"], attention_mask=mask).last_hidden_state
        states = states.float()  # (N, L, E)
        if self.pooling == "last":
            pooled = states[torch.arange(len(states)), mask.sum(dim=1) - 1]
        else:
            held = mask[..., None].to(states.dtype)
            pooled = (states * held).sum(dim=1) / held.sum(dim=1)
        return functional.normalize(pooled, dim=-1)

    @property
    def dim(self) -> int:
        """E."""
        return int(self.model.config.hidden_size)


def _folder(name: str) -> Path:
    """Where the model's files are, fetched from the hub if ``name`` is no folder."""
    folder = Path(name)
    if not folder.is_dir():
        if name.count("/") != 1 or name.startswith((".", "/", "~")):
            raise InputError(
                f"{name!r} is no folder. Give a folder, or a name on the hub such as "
                "'deepseek-ai/DeepSeek-V2-Lite'"
            )
        from huggingface_hub import snapshot_download

        folder = Path(snapshot_download(name, allow_patterns=list(FILES)))
    for pattern, what in (
        ("config.json", "a configuration"),
        ("*.safetensors", "weights as safetensors"),
        ("tokenizer*", "a tokenizer"),
    ):
        if not any(folder.glob(pattern)):
            there = sorted(entry.name for entry in folder.iterdir())
            raise InputError(f"{folder} holds no {pattern} ({what}), only {there}")
    return folder


def _fingerprint(folder: Path, *options: str) -> str:
    """A hash of every file that decides the vectors, and of the options."""
    files = sorted({path for pattern in FILES for path in folder.glob(pattern)})
    told = {path.name: sha256_of(path.resolve()) for path in files}
    return hashlib.sha256(json.dumps([told, options]).encode()).hexdigest()[:32]
