"""The text of every item of a catalogue as vectors."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.models.text.cache import cached_embeddings
from recbench.models.text.encoder import TextEncoder
from recbench.tables.vocabulary import Vocabulary

__all__ = ["item_texts", "text_embeddings"]


def item_texts(items: pl.DataFrame, vocabulary: Vocabulary) -> list[str]:
    """One text an item of the vocabulary: its title, then its categories; empty where neither is.

    Raises:
        InputError: the items have neither column.
    """
    told = [name for name in (c.TITLE, c.CATEGORY) if name in items.columns]
    if not told:
        raise InputError(
            f"Items need `{c.TITLE}` or `{c.CATEGORY}` for a text, got {items.columns}"
        )
    by_row = pl.DataFrame({c.ITEM_ID: vocabulary.ids}).join(
        items, on=c.ITEM_ID, how="left", maintain_order="left"
    )
    parts = [pl.col(name).cast(pl.String).str.replace_all("|", ", ", literal=True) for name in told]
    text = pl.concat_str(parts, separator=". ", ignore_nulls=True).str.strip_chars()
    return by_row.select(text.fill_null("")).to_series().to_list()


def text_embeddings(
    items: pl.DataFrame, vocabulary: Vocabulary, *, encoder: TextEncoder, folder: Path
) -> npt.NDArray[np.float32]:
    """(n_items, E) unit vectors of titles and categories, zeros for items without either.

    Args:
        items: canonical; absent items have no text.
        vocabulary: the rows.
        encoder: a pretrained model.
        folder: where vectors of texts seen before are kept.
    """
    return cached_embeddings(encoder, item_texts(items, vocabulary), folder=folder)
