"""Retrievers and a ranker's features as arrays and plain facts: what a release can hold."""

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recbench.errors import InputError
from recbench.models.baselines import (
    ALS,
    EASE,
    SLIM,
    VSKNN,
    DecayedEASE,
    ItemKNN,
    Markov,
    PersonalFrequency,
    Popularity,
    RecencyPopularity,
)
from recbench.models.ranking.candidates import Retrievers
from recbench.models.ranking.features import RankingFeatures
from recbench.tables.vocabulary import Vocabulary

__all__ = ["Arrays", "restored", "taken_apart"]

Arrays = dict[str, npt.NDArray[Any]]
Facts = dict[str, Any]

RETRIEVERS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        ALS,
        DecayedEASE,
        EASE,
        ItemKNN,
        Markov,
        PersonalFrequency,
        Popularity,
        RecencyPopularity,
        SLIM,
        VSKNN,
    )
}
SPARSE = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix}
PARTS = ("data", "indices", "indptr")
FEATURES = "features"


def taken_apart(retrievers: Retrievers, features: RankingFeatures) -> tuple[Arrays, Facts]:
    """Named arrays, and the rest as JSON; what is shared is there once.

    Raises:
        InputError: a retriever of a kind that is not known here, or of another catalogue.
    """
    arrays: Arrays = {}
    names: dict[int, str] = {}  # id of an array -> its name
    models = []
    for number, (name, model) in enumerate(retrievers.models.items()):
        kind = type(model).__name__
        if RETRIEVERS.get(kind) is not type(model):
            raise InputError(
                f"The retriever {name!r} is a {kind}, and only {sorted(RETRIEVERS)} can be released"
            )
        held = _facts(model, f"{number}", arrays, names)
        models.append({"name": name, "kind": kind, "fields": held})
    return arrays, {
        "n_each": retrievers.n_each,
        "repeats": retrievers.repeats,
        "untold": sorted(retrievers.untold),
        "retrievers": models,
        FEATURES: _facts(features, FEATURES, arrays, names),
    }


def restored(
    arrays: Mapping[str, npt.NDArray[Any]], facts: Facts, *, items: Vocabulary
) -> tuple[Retrievers, RankingFeatures]:
    """What was ``taken_apart``; arrays are shared with ``arrays``, not copied."""
    models = {
        each["name"]: RETRIEVERS[each["kind"]](**_fields(each["fields"], arrays, items))
        for each in facts["retrievers"]
    }
    untold = frozenset(facts["untold"])
    retrievers = Retrievers(models, facts["n_each"], facts["repeats"], untold=untold)
    return retrievers, RankingFeatures(**_fields(facts[FEATURES], arrays, items))


def _facts(thing: Any, prefix: str, arrays: Arrays, names: dict[int, str]) -> Facts:
    held: Facts = {}
    for field in fields(thing):
        value = getattr(thing, field.name)
        if isinstance(value, np.ndarray):
            held[field.name] = {"array": _named(value, f"{prefix}.{field.name}", arrays, names)}
        elif isinstance(value, sparse.csr_matrix | sparse.csc_matrix):
            at = {p: _named(getattr(value, p), f"{prefix}.{field.name}.{p}", arrays, names)
                  for p in PARTS}  # fmt: skip
            held[field.name] = {"sparse": value.format, "shape": list(value.shape)} | at
        elif isinstance(value, Vocabulary):
            held[field.name] = {"items": len(value)}
        else:
            held[field.name] = {"value": str(value) if value == math.inf else value}
    return held


def _named(value: npt.NDArray[Any], name: str, arrays: Arrays, names: dict[int, str]) -> str:
    known = names.setdefault(id(value), name)
    if known == name:
        arrays[name] = np.ascontiguousarray(value)
    return known


def _fields(
    held: Mapping[str, Facts], arrays: Mapping[str, npt.NDArray[Any]], items: Vocabulary
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, fact in held.items():
        if "array" in fact:
            found[name] = arrays[fact["array"]]
        elif "sparse" in fact:
            parts = tuple(arrays[fact[part]] for part in PARTS)
            found[name] = SPARSE[fact["sparse"]](parts, shape=tuple(fact["shape"]), copy=False)
        elif "items" in fact:
            found[name] = items
        else:
            value = fact["value"]
            as_tuple = tuple(value) if isinstance(value, list) else value
            found[name] = math.inf if value == str(math.inf) else as_tuple
    return found
