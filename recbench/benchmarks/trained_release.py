"""A release of a quickly trained two-tower on generated events, made as large as one likes."""

from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import polars as pl

from recbench import columns as c
from recbench.benchmarks.taste_world import taste_world
from recbench.errors import InputError
from recbench.jobs.build import Cut, fit_two_tower
from recbench.jobs.publish import GRAPH, make_release
from recbench.refresh import Registry, Release
from recbench.refresh.contents import TOMBSTONES, Contents, write_contents
from recbench.refresh.stored_index import MEASURED_ON, write_index
from recbench.runtime.onnx import OnnxQueryTower
from recbench.serving.recommender import ReleasedRecommender
from recbench.settings import Encoder, Experiment, TowerSettings
from recbench.tables.log import EventLog
from recbench.tables.vocabulary import Vocabulary

__all__ = ["enlarged", "trained_release", "users_with_history"]

HALF_LIFE_S = 86_400.0
HORIZON_US = 3 * 86_400 * 1_000_000
ENCODED = "encoded_items"  # of the exported tower: a row an item
NOISE = 0.2  # of a dimension's standard deviation over the catalogue


def trained_release(
    registry: Registry, *, events: int, seed: int, encoder: Encoder = "transformer", steps: int = 60
) -> Release:
    """A sealed release of a two-tower fitted for a few steps: real shapes, real query vectors.

    Args:
        registry: where it goes; it is not published.
        events: of the generated log; a 250th as many items.
        seed: of log, weights and batches.
        encoder: of histories.
        steps: of the fit; how good the lists are does not matter to their speed.
    """
    clicks, items = taste_world(events, seed=seed)
    data = EventLog("generated", "masked", clicks, items, version=0)
    at = int(clicks[c.TS].dt.epoch("us")[-1]) + 1
    cut = Cut(at=at, horizon_us=HORIZON_US, half_life_s=HALF_LIFE_S)
    experiment = Experiment(towers=TowerSettings(encoder=encoder), seed=seed)
    fitted = fit_two_tower(data, clicks, cut, experiment=experiment, steps=steps)
    return make_release(fitted, data, clicks, registry=registry, experiment=experiment, metrics={})


def users_with_history(release: Release, *, most: int) -> npt.NDArray[np.int64]:
    """Ids of users whose history fills the tower's length; of the longest, if there are none."""
    contents = Contents.read(release)
    return _longest(contents.interactions, length=contents.history_length)[:most]


def _longest(interactions: pl.DataFrame, *, length: int) -> npt.NDArray[np.int64]:
    """Users with at least so many clicks, the most first; all users, where there are none."""
    lengths = (
        interactions.filter(pl.col(c.CLICKED))
        .group_by(c.USER_ID)
        .len()
        .sort("len", c.USER_ID, descending=[True, False])
    )
    full = lengths.filter(pl.col("len") >= length)
    return (full if len(full) else lengths)[c.USER_ID].to_numpy()


def enlarged(release: Release, *, registry: Registry, n_items: int, seed: int) -> Release:
    """A sealed release with a catalogue of perturbed copies of another one's.

    Item r of the large catalogue is a copy of item r modulo the size of the small one. To each
    dimension of its embedding, and of its encoding within the query tower, normal noise is added of
    a fifth of the dimension's standard deviation; its popularity is multiplied by the exponential
    of such noise. Each event of the histories goes to one of its item's copies. Seeds differ in all
    of it, so no two of them give the same lists. Its index is chosen by measuring, or kept from
    another such release of as many items, as a refresh keeps its parent's.

    Args:
        release: a trained one.
        registry: where the large one goes; it is not published.
        n_items: how many items; at least as many as there are.
        seed: of noise and copies.

    Raises:
        InputError: ``n_items`` is below what there is.
    """
    held = Contents.read(release)
    n_held = len(held.items)
    if n_items < n_held:
        raise InputError(f"`n_items` must be at least the {n_held} there are, got {n_items}")
    rng = np.random.default_rng(seed)
    source = np.arange(n_items) % n_held
    stride = int(held.items.ids.max()) + 1
    items = Vocabulary(held.items.ids[source] + stride * (np.arange(n_items) // n_held))
    embeddings = _perturbed(held.candidate_embeddings, source, rng)
    embeddings[:, -1] = held.candidate_embeddings[source, -1] * np.exp(
        NOISE * rng.standard_normal(n_items, dtype=np.float32)
    )
    popularity = pl.read_parquet(release.path("popularity.parquet")).drop(c.ITEM_ID)[source]
    with registry.draft() as draft:
        _write_tower(release.path(GRAPH), draft / GRAPH, source, rng)
        write_contents(
            draft,
            items=items,
            item_features=held.item_features[source].with_columns(pl.Series(c.ITEM_ID, items.ids)),
            events=_among_copies(held, items, rng),
            candidate_embeddings=embeddings,
            popularity={name: popularity[name].to_numpy() for name in popularity.columns},
            window_features=held.window_features,
            history_length=held.history_length,
            metrics={},
            tombstones=np.flatnonzero(np.isin(source, held.tombstones)),
        )
        index = _index(draft, held, items, embeddings, like=_earlier(registry, release, n_items))
        facts: dict[str, Any] = {"copies_of": release.manifest.release, "seed": seed}
        manifest = replace(
            release.manifest,
            release="",
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            parent=release.manifest.release,
            gate={"verdict": "not gated", "reasons": ["perturbed copies, for a benchmark"]},
            parity={},
            exports={},
            index=index,
            settings=asdict(release.manifest)["settings"] | {"enlarged": facts},
        )
        return registry.seal(draft, manifest)


def _earlier(registry: Registry, release: Release, n_items: int) -> Release | None:
    """Another catalogue of copies, of as many items."""
    own = release.manifest.release
    for made in registry.releases():
        if made.settings.get("enlarged", {}).get("copies_of") == own and (
            made.index.get("n_candidates") == n_items
        ):
            return registry.open(made.release, verify=False)
    return None


def _index(
    draft: Path,
    small: Contents,
    items: Vocabulary,
    embeddings: npt.NDArray[np.float32],
    *,
    like: Release | None,
) -> dict[str, Any]:
    """What is chosen for users with a history, who are asked about in a load."""
    tombstones = pl.read_parquet(draft / TOMBSTONES)[c.ITEM_ID]
    contents = replace(
        small,
        items=items,
        interactions=pl.read_parquet(draft / "interactions.parquet"),
        candidate_embeddings=embeddings,
        tombstones=items.rows(tombstones),
    )
    tower = OnnxQueryTower(draft / GRAPH, n_items=len(items))
    answering = ReleasedRecommender(contents, tower, repeats=True)
    users = _longest(contents.interactions, length=contents.history_length)[:MEASURED_ON]
    asked = answering.query_embeddings(answering.queries(users))
    return write_index(draft, embeddings, asked, hidden=contents.tombstones, parent=like)


def _perturbed(
    rows: npt.NDArray[np.float32], source: npt.NDArray[np.int64], rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    noise = rng.standard_normal((len(source), rows.shape[1]), dtype=np.float32)
    result: npt.NDArray[np.float32] = rows[source] + NOISE * rows.std(axis=0) * noise
    return result


def _write_tower(
    small: Path, large: Path, source: npt.NDArray[np.int64], rng: np.random.Generator
) -> None:
    """The same tower over the encodings of more items."""
    graph = onnx.load(small)
    (encoded,) = (tensor for tensor in graph.graph.initializer if tensor.name == ENCODED)
    rows = _perturbed(onnx.numpy_helper.to_array(encoded), source, rng)
    encoded.CopyFrom(onnx.numpy_helper.from_array(rows, ENCODED))
    del graph.graph.value_info[:]  # says how many items there were
    onnx.save(graph, large)


def _among_copies(held: Contents, items: Vocabulary, rng: np.random.Generator) -> pl.DataFrame:
    """The interactions, each with one of the copies of its item."""
    rows = held.items.rows(held.interactions[c.ITEM_ID])
    n_held = len(held.items)
    n_copies = (len(items) - 1 - rows) // n_held + 1
    copies = rows + n_held * rng.integers(0, n_copies)
    return held.interactions.with_columns(pl.Series(c.ITEM_ID, items.ids[copies]))
