"""What is known of each item besides its clicks, as token rows: categories and title words."""

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.tables.vocabulary import Vocabulary

__all__ = ["ItemContent", "TokenField"]

WORD = re.compile(r"\w+")
UNKNOWN = 0  # the token row of padding, and of words too rare to be learned


@dataclass(frozen=True, slots=True, eq=False)
class TokenField:
    """One text column as a rectangle of token rows, 0 where there is none."""

    tokens: tuple[str, ...]  # token row - 1 -> token
    token_rows: npt.NDArray[np.int64]  # (n_items, W)

    @classmethod
    def of(cls, texts: list[list[str]], *, at_least: int, width: int) -> Self:
        """Token rows of each item's words.

        Args:
            texts: the words of each item.
            at_least: items that must share a word for it to be kept.
            width: W; further words of an item are left out.
        """
        counts = Counter(word for words in texts for word in set(words))
        tokens = tuple(sorted(word for word, count in counts.items() if count >= at_least))
        return cls(tokens, _rows_of(tokens, texts, width=width))

    def grown(self, texts: list[list[str]]) -> Self:
        """The same tokens with the words of further items; other words stay unknown.

        Words beyond the width of this rectangle are left out.
        """
        width = self.token_rows.shape[1]
        new = _rows_of(self.tokens, texts, width=width)
        padded = np.pad(new, ((0, 0), (0, width - new.shape[1])))
        return replace(self, token_rows=np.concatenate([self.token_rows, padded]))


@dataclass(frozen=True, slots=True, eq=False)
class ItemContent:
    """The content of every item of a vocabulary."""

    category: TokenField
    title: TokenField
    text: npt.NDArray[np.float32] | None = None  # (n_items, E) of a pretrained text encoder

    @classmethod
    def from_items(
        cls,
        items: pl.DataFrame,
        vocabulary: Vocabulary,
        *,
        text: npt.NDArray[np.float32] | None = None,
    ) -> Self:
        """Categories (``A|B`` is two) and lower-case title words that five items share.

        Args:
            items: canonical; absent columns and items give no tokens.
            vocabulary: the rows.
            text: (n_items, E) vectors, zeros where an item has no text; see `models.text`.

        Raises:
            InputError: ``text`` has another number of rows.
        """
        if text is not None and (text.ndim != 2 or len(text) != len(vocabulary)):
            raise InputError(
                f"`text` must have one row an item: expected ({len(vocabulary)}, E), got "
                f"{text.shape}"
            )
        categories, titles = _words(items, vocabulary.ids)
        return cls(
            TokenField.of(categories, at_least=2, width=8),
            TokenField.of(titles, at_least=5, width=12),
            text,
        )

    def grown(
        self,
        items: pl.DataFrame,
        new_ids: npt.NDArray[np.int64],
        *,
        text: npt.NDArray[np.float32] | None = None,
    ) -> Self:
        """This content followed by that of further items, in tokens that are known.

        Args:
            items: canonical; absent columns and items give no tokens.
            new_ids: (M,) the further items.
            text: (M, E) their vectors, where items have any; default: zeros.
        """
        categories, titles = _words(items, new_ids)
        if self.text is not None:
            new = np.zeros((len(new_ids), self.text.shape[1]), np.float32) if text is None else text
            text = np.concatenate([self.text, new])
        return replace(
            self,
            category=self.category.grown(categories),
            title=self.title.grown(titles),
            text=text,
        )


def _words(
    items: pl.DataFrame, ids: npt.NDArray[np.int64]
) -> tuple[list[list[str]], list[list[str]]]:
    """The categories of each item, and the words of its title."""
    frame = pl.DataFrame({c.ITEM_ID: ids}).join(
        items, on=c.ITEM_ID, how="left", maintain_order="left"
    )
    categories, titles = (
        frame[name].fill_null("").to_list() if name in frame.columns else [""] * len(frame)
        for name in (c.CATEGORY, c.TITLE)
    )
    return (
        [text.split("|") if text else [] for text in categories],
        [WORD.findall(text.lower()) for text in titles],
    )


def _rows_of(
    tokens: tuple[str, ...], texts: list[list[str]], *, width: int
) -> npt.NDArray[np.int64]:
    """(n_items, at most ``width``) rows of the known words, 0 where there are no more."""
    row = {word: number for number, word in enumerate(tokens, start=1)}
    known = [[row[w] for w in dict.fromkeys(words) if w in row][:width] for words in texts]
    token_rows = np.zeros((len(texts), max([1, *map(len, known)])), dtype=np.int64)
    for at, of_item in enumerate(known):
        token_rows[at, : len(of_item)] = of_item
    return token_rows
