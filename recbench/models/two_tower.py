"""The two towers as plain modules: cosine over temperature, plus a learned recency prior.

score(q, c) = cos(q, c) / temperature + prior_weight(q) * prior(c). The prior is one more
dimension of both embeddings, so retrieval stays one inner product. It starts as the logarithm of
the item's recency popularity: before its first step the model ranks as that baseline does.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from recbench.errors import InputError
from recbench.models.content import ItemContent
from recbench.models.perceptron import perceptron

__all__ = ["CandidateTower", "ItemEncoder", "TwoTower"]

INITIAL_STD = 0.05


class ItemEncoder(nn.Module):
    """What an item is: its id, its categories, its title's words, and its text if it has vectors.

    Both towers use it.
    """

    def __init__(
        self, n_items: int, content: ItemContent, *, embedding_dim: int, sparse: bool = False
    ) -> None:
        """Tables for ids and tokens; the id's row may be dropped, then content alone speaks.

        ``sparse``: gradients hold only the rows of a batch, for `training.row_adam`.
        """
        super().__init__()
        self.item, self.category, self.title = (
            _table(n_rows, embedding_dim, sparse=sparse)
            for n_rows in (n_items, *(len(f.tokens) + 1 for f in (content.category, content.title)))
        )
        self.category_rows: Tensor
        self.title_rows: Tensor
        self.register_buffer("category_rows", torch.from_numpy(content.category.token_rows))
        self.register_buffer("title_rows", torch.from_numpy(content.title.token_rows))
        self.text: Tensor | None
        self.register_buffer("text", None)
        if content.text is not None:
            self.text = torch.from_numpy(content.text)
            self.of_text = nn.Linear(content.text.shape[1], embedding_dim, bias=False)

    def forward(self, item_rows: Tensor, id_kept: Tensor | None = None) -> Tensor:
        """(N,) item rows -> (N, D); ``id_kept`` (N, 1) of 0 and 1 drops ids in training."""
        own = self.item(item_rows)
        if id_kept is not None:
            own = own * id_kept
        text = None if self.text is None else self.text[item_rows]
        return self.described(own, self.category_rows[item_rows], self.title_rows[item_rows], text)

    def described(
        self, own: Tensor, category_rows: Tensor, title_rows: Tensor, text: Tensor | None
    ) -> Tensor:
        """(N, D) of ids, (N, Wc) and (N, Wt) token rows, (N, T) text vectors -> (N, D)."""
        encoded = own + _mean_of_tokens(self.category, category_rows)
        encoded = encoded + _mean_of_tokens(self.title, title_rows)
        return encoded if text is None else cast("Tensor", encoded + self.of_text(text))


class CandidateTower(nn.Module):
    """A candidate as of an instant: its encoding moved by its features, and its prior."""

    def __init__(self, *, n_features: int, embedding_dim: int, hidden_dim: int) -> None:
        """The prior's correction starts at zero."""
        super().__init__()
        self.dim = embedding_dim + 1
        self.shift = perceptron(n_features, hidden_dim, embedding_dim)
        self.prior = perceptron(n_features, hidden_dim, 1, starts_at_zero=True)

    def forward(self, encoded: Tensor, features: Tensor, log_prior: Tensor) -> Tensor:
        """(C, D), (C, F), (C,) -> (C, D + 1): unit vectors, then the prior."""
        taste = functional.normalize(encoded + self.shift(features), dim=-1)
        prior = log_prior[:, None] + self.prior(features)
        return torch.cat([taste, prior], dim=-1)


class TwoTower(nn.Module):
    """Query tower and candidate tower over one item encoder."""

    def __init__(
        self,
        items: ItemEncoder,
        candidates: CandidateTower,
        queries: nn.Module,
        *,
        predicts_watching: bool = False,
    ) -> None:
        """``queries`` maps ``(Events, Requests)`` to (P, D + 1); see `models.query_towers`."""
        super().__init__()
        self.watching = nn.Linear(candidates.dim - 1, 1) if predicts_watching else None
        self.items = items
        self.candidates = candidates
        self.queries = queries

    def watched(self, agreement: Tensor) -> Tensor:
        """(P, D) taste of query times taste of item -> (P,) logit of the watched share.

        Raises:
            InputError: the towers were made without ``predicts_watching``.
        """
        if self.watching is None:
            raise InputError("These towers do not predict watching; make them with a watch weight")
        return cast("Tensor", self.watching(agreement)[:, 0])

    def auxiliary_loss(self) -> Tensor | None:
        """What the encoder of histories adds to the loss of the last pass; mostly nothing."""
        encoder: Any = getattr(self.queries, "encoder", None)
        return encoder.auxiliary_loss() if hasattr(encoder, "auxiliary_loss") else None

    def balance_figures(self) -> dict[str, float]:
        """How evenly the encoder's experts were used in the last pass; empty without experts."""
        encoder: Any = getattr(self.queries, "encoder", None)
        return encoder.balance_figures() if hasattr(encoder, "balance_figures") else {}

    def after_step(self) -> None:
        """What the encoder of histories does after an optimiser's step; mostly nothing."""
        encoder: Any = getattr(self.queries, "encoder", None)
        if hasattr(encoder, "after_step"):
            encoder.after_step()


def _table(n_rows: int, dim: int, *, sparse: bool) -> nn.Embedding:
    table = nn.Embedding(n_rows, dim, sparse=sparse)
    nn.init.normal_(table.weight, std=INITIAL_STD)
    return table


def _mean_of_tokens(table: nn.Embedding, token_rows: Tensor) -> Tensor:
    """(N, W) token rows, 0 for none -> (N, D)."""
    held = (token_rows > 0).to(table.weight.dtype)[..., None]
    mean = (table(token_rows) * held).sum(dim=1) / held.sum(dim=1).clamp(min=1.0)
    return cast("Tensor", mean)
