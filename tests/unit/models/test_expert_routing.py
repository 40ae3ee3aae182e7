"""Routing is counted by the items of the events, padding left out."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from recbench.errors import InputError
from recbench.evaluation.tail import popularity_deciles
from recbench.jobs.build import fit_two_tower
from recbench.models.expert_routing import routing_apart, routing_by_decile


@pytest.fixture(scope="module")
def experts(tiny_data, tiny_arguments):
    """An untrained two-tower with experts, and requests of all its users."""
    experiment = tiny_arguments["experiment"]
    towers = replace(experiment.towers, encoder="deepseek", n_layers=2)
    arguments = tiny_arguments | {"experiment": replace(experiment, towers=towers)}
    fitted = fit_two_tower(tiny_data, tiny_data.events, steps=0, **arguments)
    return fitted.model, fitted.log.queries(fitted.log.users.ids, fitted.at)


def mixtures(model):
    return list(model.query_tower.tower.encoder.stack.mixtures())


def test_every_event_that_the_tower_sees_is_counted_once_a_choice(experts, tiny_data):
    model, queries = experts
    deciles = popularity_deciles(tiny_data.events, model.items)
    routing = routing_by_decile(model, queries, deciles)
    decile_of = dict(deciles.select("item_id", "decile").iter_rows())
    seen = dict.fromkeys(range(1, 11), 0)
    for start, end in zip(queries.starts, queries.ends, strict=True):
        for row in queries.log.item_rows[max(start, end - model.history_length) : end]:
            seen[decile_of[int(model.items.ids[row])]] += 1
    n_layers = len(mixtures(model))
    k = mixtures(model)[0].routing.experts.shape[1]
    assert n_layers >= 1
    for layer in range(n_layers):
        own = routing.filter(pl.col("layer") == layer)
        counted = dict(own.group_by("decile").agg(pl.col("n_choices").sum()).iter_rows())
        assert counted == {decile: k * n for decile, n in seen.items()}
    shares = routing.group_by("layer", "decile").agg(pl.col("share").sum())["share"]
    assert shares.to_numpy() == pytest.approx(1.0)


def test_choices_are_those_of_one_history_after_the_other(experts, tiny_data):
    model, queries = experts
    deciles = popularity_deciles(tiny_data.events, model.items)
    alone = pl.concat(
        routing_by_decile(model, queries.take(slice(at, at + 1)), deciles) for at in range(5)
    )
    keys = ["layer", "decile", "expert"]
    summed = alone.group_by(keys).agg(pl.col("n_choices").sum()).sort(keys)
    together = routing_by_decile(model, queries.take(slice(0, 5)), deciles).sort(keys)
    assert together["n_choices"].to_list() == summed["n_choices"].to_list()


def test_where_a_bias_alone_decides_all_deciles_go_the_same_ways(experts, tiny_data):
    model, queries = experts
    mixture = mixtures(model)[0]
    # the bias alone decides: everything goes to the same two experts, whatever the item
    before = mixture.gate.bias.clone()
    try:
        mixture.gate.bias.copy_(torch.zeros_like(before))
        mixture.gate.bias[:2] = 10.0
        deciles = popularity_deciles(tiny_data.events, model.items)
        routing = routing_by_decile(model, queries, deciles).filter(pl.col("layer") == 0)
    finally:
        mixture.gate.bias.copy_(before)
    used = routing.filter(pl.col("n_choices") > 0)["expert"].unique().sort().to_list()
    assert used == [0, 1]
    assert routing_apart(routing)["apart"].to_list() == pytest.approx([0.0])


def test_how_far_apart_by_hand():
    # tail: 6 of expert 0, 2 of expert 1 (.75, .25); head: 1 and 3 (.25, .75); half of .5 + .5
    routing = pl.DataFrame(
        {
            "layer": [0] * 4,
            "decile": [1, 1, 10, 10],
            "expert": [0, 1, 0, 1],
            "n_choices": [6, 2, 1, 3],
        }
    )
    assert routing_apart(routing).rows() == [(0, 0.5)]


def test_a_tower_without_experts_is_refused(tiny_untrained, tiny_data):
    model = tiny_untrained.model
    deciles = popularity_deciles(tiny_data.events, model.items)
    queries = tiny_untrained.log.queries(np.array([1]), tiny_untrained.at)
    with pytest.raises(InputError, match="no experts, but NoneType"):
        routing_by_decile(model, queries, deciles)
