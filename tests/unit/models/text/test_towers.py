"""A two-tower whose items have text vectors."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from recbench.errors import InputError
from recbench.models.content import ItemContent
from recbench.models.two_tower import ItemEncoder
from recbench.tables.vocabulary import Vocabulary


def test_text_speaks_where_ids_are_dropped():
    items, rows = Vocabulary([1, 2, 3]), torch.arange(3)
    text = np.eye(3, 5, dtype=np.float32)
    content = ItemContent.from_items(pl.DataFrame({"item_id": [1]}), items, text=text)
    encoder = ItemEncoder(3, content, embedding_dim=4)
    dropped = encoder(rows, torch.zeros(3, 1))
    torch.testing.assert_close(dropped, encoder.of_text.weight.T[:3])


def test_vectors_of_another_catalogue_are_refused():
    items, text = Vocabulary([1, 2, 3]), np.zeros((2, 5), dtype=np.float32)
    with pytest.raises(InputError, match=r"expected \(3, E\), got \(2, 5\)"):
        ItemContent.from_items(pl.DataFrame({"item_id": [1]}), items, text=text)


def test_a_study_takes_a_text_model_and_keeps_its_vectors(
    tiny_data, tiny_arguments, deepseek_folder, tmp_path, monkeypatch
):
    from recbench.jobs.build import fit_two_tower

    monkeypatch.setenv("RECBENCH_WORKSPACE", str(tmp_path))
    experiment = tiny_arguments["experiment"]
    towers = replace(experiment.towers, text_model=str(deepseek_folder))
    arguments = tiny_arguments | {"experiment": replace(experiment, towers=towers)}
    fitted = fit_two_tower(tiny_data, tiny_data.events, steps=2, **arguments)
    assert fitted.towers.items.text.shape == (len(fitted.log.items), 64)
    assert len([*(tmp_path / "text").glob("*.safetensors")]) == 1
    scores = fitted.model.score_items(fitted.log.queries(fitted.log.users.ids[:3], fitted.at))
    assert np.isfinite(scores).all()
