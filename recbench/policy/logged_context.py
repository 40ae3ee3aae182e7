"""The features that a decision was made by, as they go with an exposure through Kafka.

They are logged as they were seen: whoever learns from them computes nothing again, so there is no
skew. Little-endian float32 in base64: 4/3 of the bytes, and no digit is lost.
"""

import base64

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c

__all__ = ["LoggedContexts", "encoded_contexts"]

LITTLE = np.dtype("<f4")


def encoded_contexts(features: npt.NDArray[np.floating]) -> list[str]:
    """(E, d) features as a text each."""
    rows = np.ascontiguousarray(features, dtype=LITTLE)
    return [base64.b64encode(row.tobytes()).decode() for row in rows]


class LoggedContexts:
    """Reads (E, d) features of exposures from their column ``context``.

    A row of NaN stands for an exposure whose context is missing, damaged or of another size.

    Args:
        dim: d; None: what most of the first contexts that come have.
    """

    def __init__(self, dim: int | None = None) -> None:
        self.dim = dim

    def __call__(self, shown: pl.DataFrame) -> npt.NDArray[np.float32]:
        """(E, d); d is 0 as long as no context has come."""
        if c.CONTEXT not in shown.columns:
            return np.full((len(shown), self.dim or 0), np.nan, dtype=np.float32)
        raw = shown[c.CONTEXT].str.decode("base64", strict=False)
        sizes = raw.bin.size().fill_null(0).to_numpy()
        if self.dim is None and sizes.any():
            found, often = np.unique(sizes[sizes > 0], return_counts=True)
            self.dim = int(found[often.argmax()]) // LITTLE.itemsize
        dim = self.dim or 0
        features = np.full((len(shown), dim), np.nan, dtype=np.float32)
        fits = np.flatnonzero(sizes == dim * LITTLE.itemsize) if dim else sizes[:0]
        if len(fits):
            held = b"".join(raw.gather(fits).to_list())
            features[fits] = np.frombuffer(held, dtype=LITTLE).reshape(len(fits), dim)
        return features
