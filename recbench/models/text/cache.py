"""Vectors of texts that were encoded before, in one file an encoder."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from recbench.errors import InputError
from recbench.files import one_at_a_time, whole_file
from recbench.models.text.encoder import TextEncoder

__all__ = ["cached_embeddings"]

Vectors = npt.NDArray[np.float32]
HASHES, VECTORS, CHECKSUM = "hashes", "vectors", "sha256"


def cached_embeddings(
    encoder: TextEncoder, texts: Sequence[str], *, folder: Path, label: str = "encode titles"
) -> Vectors:
    """(N, E) as ``encoder.embed`` gives them; only texts never seen before are encoded.

    Several processes may share the folder.

    Raises:
        InputError: the file was damaged.
    """
    path = folder / f"{encoder.fingerprint}.safetensors"
    hashes = [_hash(text) for text in texts]
    known = _read(path)
    missing = {h: text for h, text in zip(hashes, texts, strict=True) if h not in known}
    if missing:
        fresh = encoder.embed(list(missing.values()), label=label)
        found = dict(zip(missing, fresh, strict=True))
        with one_at_a_time(folder):
            known = _read(path) | found  # what others wrote meanwhile, too
            _write(path, known)
    vectors = [known[h] for h in hashes]
    return np.stack(vectors) if vectors else np.zeros((0, encoder.dim), dtype=np.float32)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:16]


def _read(path: Path) -> dict[bytes, Vectors]:
    if not path.exists():
        return {}
    try:
        with safe_open(path, framework="numpy") as held:
            hashes, vectors = held.get_tensor(HASHES), held.get_tensor(VECTORS)
            checksum = (held.metadata() or {}).get(CHECKSUM)
    except SafetensorError as error:
        raise InputError(f"{path} is damaged: {error}. Remove it to encode anew") from error
    if checksum != _checksum(hashes, vectors):
        raise InputError(f"{path} is damaged: its checksum differs. Remove it to encode anew")
    return dict(zip([row.tobytes() for row in hashes], vectors, strict=True))


def _write(path: Path, known: dict[bytes, Vectors]) -> None:
    hashes = np.stack([np.frombuffer(key, dtype=np.uint8) for key in known])
    vectors = np.stack([*known.values()])
    with whole_file(path) as draft:
        save_file(
            {HASHES: hashes, VECTORS: vectors},
            draft,
            metadata={CHECKSUM: _checksum(hashes, vectors)},
        )


def _checksum(*arrays: npt.NDArray[np.generic]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
