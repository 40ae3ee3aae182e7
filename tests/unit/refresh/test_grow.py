"""Towers of a catalogue that has grown: nothing that was known moves."""

import numpy as np
import polars as pl
import pytest
import torch

from recbench import columns as c
from recbench.models.content import ItemContent
from recbench.refresh.grow import grown_towers
from recbench.tables.vocabulary import Vocabulary

DRAMA, STRANGE, UNKNOWN = 5040, 5041, 5042


@pytest.fixture(scope="module")
def grown(tiny_data, tiny_fit):
    """The fitted towers with a drama, an item known by its title alone and one by nothing."""
    items = Vocabulary.of(tiny_data.items[c.ITEM_ID])
    content = ItemContent.from_items(tiny_data.items, items)
    more = pl.DataFrame(
        {
            c.ITEM_ID: [DRAMA, STRANGE, UNKNOWN],
            c.CATEGORY: ["drama", "never heard of", None],
            c.TITLE: [None, "Film about anything", None],
        }
    )
    content = content.grown(more, more[c.ITEM_ID].to_numpy())
    towers, moments = grown_towers(tiny_fit.towers, tiny_fit.moments, content)
    return towers, moments, content


def test_old_items_are_encoded_as_before(grown, tiny_fit):
    towers, _, _ = grown
    rows = torch.arange(tiny_fit.towers.items.item.num_embeddings)
    assert torch.equal(towers.items(rows), tiny_fit.towers.items(rows))


def test_the_towers_that_were_grown_from_stay_as_they_were(grown, tiny_fit):
    towers, _, _ = grown
    assert towers is not tiny_fit.towers
    assert tiny_fit.towers.items.item.num_embeddings == 40
    assert towers.items.item.num_embeddings == 43


def test_a_new_item_starts_as_the_mean_of_its_categories(grown, tiny_data):
    towers, _, _ = grown
    table = towers.items.item.weight.detach().numpy()
    has_drama = tiny_data.items.sort(c.ITEM_ID)[c.CATEGORY].str.contains("drama").to_numpy()
    np.testing.assert_allclose(table[40], table[:40][has_drama].mean(axis=0), rtol=1e-5)


def test_without_a_known_category_words_of_the_title_decide(grown):
    towers, _, _ = grown
    table = towers.items.item.weight.detach().numpy()
    np.testing.assert_allclose(table[41], table[:40].mean(axis=0), rtol=1e-5)  # all are films


def test_an_item_of_which_nothing_is_known_starts_at_zero(grown):
    towers, _, _ = grown
    assert not towers.items(torch.tensor([42])).any()


def test_words_nobody_knew_stay_unknown(grown):
    _, _, content = grown
    assert not content.category.token_rows[41:].any()
    assert "about" not in content.title.tokens


def test_the_optimiser_knows_nothing_of_new_rows(grown, tiny_fit):
    _, moments, _ = grown
    name = "mean/items.item.weight"
    assert torch.equal(moments[name][:40], tiny_fit.moments[name])
    assert not moments[name][40:].any()


def test_text_vectors_of_new_items_are_zero_unless_given(tiny_data):
    items = Vocabulary.of(tiny_data.items[c.ITEM_ID])
    text = np.ones((len(items), 3), dtype=np.float32)
    content = ItemContent.from_items(tiny_data.items, items, text=text)
    new = np.array([7, 8])
    assert not content.grown(tiny_data.items, new).text[40:].any()
    given = content.grown(tiny_data.items, new, text=np.full((2, 3), 5, dtype=np.float32))
    assert given.text[40:].min() == 5
