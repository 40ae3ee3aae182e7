import numpy as np
import polars as pl
import pytest
import torch

from recbench.models.content import ItemContent, TokenField
from recbench.models.two_tower import CandidateTower, ItemEncoder
from recbench.tables.vocabulary import Vocabulary


@pytest.fixture
def content():
    items = pl.DataFrame({"item_id": [7, 9], "category": ["A|B", "A"], "title": ["Red Red", None]})
    return ItemContent.from_items(items, Vocabulary([9, 7, 5]))


def test_token_rows_follow_the_vocabulary_and_pad_with_zero(content):
    # only A is shared by two items; item 5 has no row in the frame
    assert content.category.tokens == ("A",)
    assert content.category.token_rows[:, 0].tolist() == [1, 1, 0]
    assert not content.title.token_rows.any()  # no word is shared by five items


def test_words_of_an_item_count_once_and_are_cut_to_the_width():
    field = TokenField.of([["a", "a", "b", "c"], ["c", "b", "a"]], at_least=2, width=2)
    assert field.tokens == ("a", "b", "c")
    assert field.token_rows.tolist() == [[1, 2], [3, 2]]


def test_untrained_candidates_carry_the_log_prior_as_their_last_dimension():
    tower = CandidateTower(n_features=3, embedding_dim=4, hidden_dim=8)
    embedded = tower(torch.randn(5, 4), torch.randn(5, 3), torch.arange(5.0))
    torch.testing.assert_close(embedded[:, -1], torch.arange(5.0))
    torch.testing.assert_close(embedded[:, :-1].norm(dim=1), torch.ones(5))


def test_an_item_without_its_id_is_its_content(content):
    encoder = ItemEncoder(3, content, embedding_dim=4)
    rows = torch.tensor([0, 1])
    dropped = encoder(rows, torch.zeros(2, 1))
    # both have the one category A, and no title word
    torch.testing.assert_close(dropped[0], dropped[1])
    torch.testing.assert_close(dropped[0], encoder.category.weight[1])
    assert not torch.allclose(encoder(rows)[0], encoder(rows)[1])


def test_one_seed_gives_one_set_of_weights(content):
    def weights():
        torch.manual_seed(3)
        return ItemEncoder(3, content, embedding_dim=4).state_dict()

    first, second = weights(), weights()
    assert all(np.array_equal(first[name], second[name]) for name in first)
