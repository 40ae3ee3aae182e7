"""Low-rank adapters that teach a pretrained text encoder what is clicked together."""

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recbench.errors import InputError, JobError
from recbench.models.text.encoder import TextEncoder
from recbench.progress import bar
from recbench.tables.queries import InteractionLog

__all__ = ["fine_tune", "load_adapters", "save_adapters"]

TEMPERATURE = 0.05


def fine_tune(
    encoder: TextEncoder,
    texts: Sequence[str],
    log: InteractionLog,
    *,
    rank: int = 8,
    steps: int = 200,
    batch_size: int = 32,
    learning_rate: float = 1e-4,
    seed: int = 0,
) -> list[float]:
    """Train adapters on pairs of items that one user clicked one after the other.

    Each item's text must find the next item's among the batch's; what is drawn often is corrected
    for. The pretrained weights stay as they are. The encoder is changed in place, and with it its
    fingerprint: what was cached of the model alone is not mistaken for it.

    Args:
        encoder: gets adapters on all its linear layers.
        texts: (n_items,) by item row.
        log: the clicks; only pairs with both texts count.
        rank: of the adapters.
        steps: of AdamW.
        batch_size: pairs a step.
        learning_rate: of AdamW.
        seed: of weights and pairs.

    Returns:
        The loss of each step.

    Raises:
        InputError: fewer than two pairs, or the extra ``llm`` is not installed.
        JobError: the loss is no number.

    Source: Hu et al., "LoRA: low-rank adaptation of large language models", ICLR 2022.
    """
    pairs, log_q = _pairs(texts, log)
    torch.manual_seed(seed)
    encoder.model = _with_adapters(encoder.model, rank)
    encoder.model.train()
    trained = [weight for weight in encoder.model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=learning_rate)
    rng = np.random.default_rng(seed)
    losses: list[float] = []
    done = bar(steps, label="adapt the text encoder", unit="step")
    for _ in range(steps):
        chosen = pairs[rng.choice(len(pairs), size=min(batch_size, len(pairs)), replace=False)]
        loss = _loss(encoder, texts, chosen, log_q)
        if not torch.isfinite(loss):
            raise JobError(f"The loss became {loss.item()} after {len(losses)} steps")
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's
        optimizer.step()
        losses.append(loss.item())
        done.update(1)
    done.close()
    encoder.model.eval()
    _renew_fingerprint(encoder)
    return losses


def save_adapters(encoder: TextEncoder, folder: Path) -> None:
    """The adapters alone, as safetensors."""
    encoder.model.save_pretrained(folder, safe_serialization=True)


def load_adapters(encoder: TextEncoder, folder: Path) -> None:
    """Put saved adapters onto the model they were trained on.

    Raises:
        InputError: there are none, or none as safetensors.
    """
    from peft import PeftModel

    if not (folder / "adapter_model.safetensors").exists():
        raise InputError(f"{folder} holds no adapter_model.safetensors")
    with _quiet():
        encoder.model = PeftModel.from_pretrained(encoder.model, str(folder)).eval()
    _renew_fingerprint(encoder)


def _pairs(texts: Sequence[str], log: InteractionLog) -> tuple[Any, Tensor]:
    """(P, 2) item rows, and (n_items,) the log share of each as a pair's second."""
    has_text = np.array([bool(text.strip()) for text in texts])
    first, second = log.item_rows[:-1], log.item_rows[1:]
    kept = (log.user_rows[:-1] == log.user_rows[1:]) & (first != second)
    kept &= has_text[first] & has_text[second]
    pairs = np.stack([first[kept], second[kept]], axis=1)
    if len(pairs) < 2:
        raise InputError(f"{len(log)} clicks give {len(pairs)} pairs of items with text, need two")
    shares = np.bincount(pairs[:, 1], minlength=len(texts)) / len(pairs)
    return pairs, torch.from_numpy(np.log(np.maximum(shares, 1e-12)).astype(np.float32))


def _loss(encoder: TextEncoder, texts: Sequence[str], pairs: Any, log_q: Tensor) -> Tensor:
    firsts, seconds = (encoder.encode([texts[row] for row in pairs[:, at]]) for at in (0, 1))
    rows = torch.from_numpy(pairs[:, 1])
    logits = firsts @ seconds.T / TEMPERATURE - log_q[rows].to(firsts.device)
    same = (rows[:, None] == rows).to(firsts.device)
    same.fill_diagonal_(False)  # the pair's own second is its target
    targets = torch.arange(len(rows), device=firsts.device)
    return torch.nn.functional.cross_entropy(logits.masked_fill(same, -torch.inf), targets)


def _with_adapters(model: Any, rank: int) -> Any:
    try:
        from peft import LoraConfig, get_peft_model
    except ModuleNotFoundError as error:
        raise InputError(
            f"Adapters need peft: {error}. Run `pip install 'recbench[llm]'`"
        ) from error
    linear = {
        name.rsplit(".", 1)[-1]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
    }
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=sorted(linear))
    with _quiet():
        return get_peft_model(model, config)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what peft says of itself.

    It has patterns for stacked experts in mind, which are no linear layers here and stay as they
    are, and asks transformers by an older name.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The following .*_pattern keys did not match")
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.* is deprecated")
        yield


def _renew_fingerprint(encoder: TextEncoder) -> None:
    digest = hashlib.sha256(encoder.fingerprint.encode())
    for name, weight in sorted(encoder.model.named_parameters()):
        if "lora_" in name:
            digest.update(name.encode() + weight.detach().float().cpu().numpy().tobytes())
    encoder.fingerprint = digest.hexdigest()[:32]
