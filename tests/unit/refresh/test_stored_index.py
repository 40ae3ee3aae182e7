"""The index of a release: measured, stored, kept by a refresh, built again."""

import dataclasses
import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from recbench.errors import InputError, ReleaseError
from recbench.index import ApproximateIndex, ApproximateSettings, ExactIndex
from recbench.refresh import Registry, stored_index
from recbench.refresh.stored_index import read_index, write_index

NOTHING = np.empty(0, dtype=np.int64)
N = 3_000


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch):
    """A catalogue of some thousands is large already, so that cells are worth it."""
    monkeypatch.setattr("recbench.index.approximate.SCORED_WHOLE", 500)
    monkeypatch.setattr("recbench.index.choose.CELLS_FROM", 1_000)
    choose, keep = stored_index.choose_index, stored_index.kept_index
    monkeypatch.setattr(stored_index, "EXACT_BELOW", 1_000)
    monkeypatch.setattr(stored_index, "MEASURED_ON", 64)
    monkeypatch.setattr(
        stored_index, "choose_index", lambda *a, **k: choose(*a, exact_below=1_000, **k)
    )
    monkeypatch.setattr(
        stored_index, "kept_index", lambda *a, **k: keep(*a, exact_below=1_000, **k)
    )


@pytest.fixture(scope="module")
def catalogue():
    """(N, 16) around thirty tastes, and queries near them."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(30, 16))
    near = centres[rng.integers(30, size=N)] + rng.normal(0, 0.4, (N, 16))
    asked = centres[rng.integers(30, size=400)] + rng.normal(0, 0.4, (400, 16))
    return near.astype(np.float32), asked.astype(np.float32)


@pytest.fixture
def sealed(tmp_path, a_manifest, monkeypatch):
    """Seals a release of an index; the quickest one must not be exact, however quick that is."""

    def slow(self, *arguments, **options):
        for _ in range(20):
            found = plain(self, *arguments, **options)
        return found

    plain = ExactIndex.search
    monkeypatch.setattr(ExactIndex, "search", slow)
    registry = Registry(tmp_path / "registry")

    def seal(candidates, queries, *, at="00", **more):
        with registry.draft() as draft:
            index = write_index(draft, candidates, queries, hidden=NOTHING, **more)
            created = f"2026-01-01T00:00:{at}+00:00"
            manifest = dataclasses.replace(a_manifest(), index=index, created=created)
            return registry.open(registry.seal(draft, manifest).manifest.release)

    return seal


def test_the_index_that_was_measured_is_the_one_that_is_read(catalogue, sealed):
    release = sealed(*catalogue)
    told = json.loads(json.dumps(release.manifest.index))
    assert told["kind"] == "approximate"
    assert told["recall"] >= told["least_recall"] == 0.99
    assert 0 < told["p50_ms"] <= told["p99_ms"]
    assert (told["n_candidates"], told["n_queries"]) == (N, 64)
    assert len(told["tried"]) > 1
    read = read_index(release, catalogue[0], hidden=np.array([5]))
    assert isinstance(read, ApproximateIndex)
    assert dataclasses.asdict(read.settings) == told["settings"]
    hits = [
        len(np.intersect1d(*pair)) / 20
        for pair in zip(
            read.search(catalogue[1], k=20)[0],
            ExactIndex(catalogue[0], np.array([5])).search(catalogue[1], k=20)[0],
            strict=True,
        )
    ]
    assert np.mean(hits) > 0.98
    assert 5 not in read.search(catalogue[1], k=20)[0]


def test_a_small_catalogue_stores_no_parts(catalogue, sealed):
    release = sealed(catalogue[0][:800], catalogue[1])
    assert release.manifest.index["kind"] == "exact"
    assert not release.manifest.files
    assert isinstance(read_index(release, catalogue[0][:800], hidden=NOTHING), ExactIndex)


def test_a_refresh_keeps_the_choice_and_its_cells_and_measures_anew(catalogue, sealed, monkeypatch):
    parent = sealed(*catalogue)
    monkeypatch.setattr("recbench.index.quantised._cells", None)  # k-means
    monkeypatch.setattr(stored_index, "choose_index", None)
    grown = np.concatenate([catalogue[0], catalogue[0][:9]])
    child = sealed(grown, catalogue[1], at="01", parent=parent).manifest.index
    assert child["kept_from"] == parent.manifest.release
    assert child["settings"] == parent.manifest.index["settings"]
    assert (child["n_candidates"], child["chosen_for"]) == (N + 9, N)
    assert child["recall"] >= 0.99
    assert "tried" not in child


def test_a_refresh_whose_choice_has_lost_the_recall_chooses_anew(catalogue, sealed):
    parent = sealed(*catalogue)
    poor = ApproximateSettings(codes="pq4", oversample=1)
    parts = ApproximateIndex.build(catalogue[0], poor).trained
    save_file(parts.to_arrays(), parent.folder / stored_index.PARTS)
    told = parent.manifest.index | {"settings": dataclasses.asdict(poor)}
    worse = dataclasses.replace(parent, manifest=dataclasses.replace(parent.manifest, index=told))
    child = sealed(*catalogue, at="01", parent=worse).manifest.index
    assert "kept_from" not in child
    assert child["recall"] >= 0.99
    assert child["tried"]


def test_a_parent_that_chose_none_is_chosen_for(catalogue, sealed, a_manifest):
    parent = sealed(*catalogue)
    older = dataclasses.replace(parent, manifest=dataclasses.replace(parent.manifest, index={}))
    assert sealed(*catalogue, at="01", parent=older).manifest.index["tried"]
    assert read_index(older, catalogue[0], hidden=NOTHING) is None


def test_parts_that_do_not_belong_to_the_catalogue_are_refused(catalogue, sealed):
    release = sealed(*catalogue)
    with pytest.raises(ReleaseError, match=f"index of release {release.manifest.release} cannot"):
        read_index(release, catalogue[0][:, :8].copy(), hidden=NOTHING)


def test_without_faiss_a_large_catalogue_has_no_choice(catalogue, tmp_path, monkeypatch):
    monkeypatch.setattr(stored_index, "find_spec", lambda _: None)
    assert write_index(tmp_path, *catalogue, hidden=NOTHING) == {}


def test_recall_is_not_made_up(catalogue, tmp_path):
    with pytest.raises(InputError, match="`queries` holds none"):
        write_index(tmp_path, catalogue[0], catalogue[1][:0], hidden=NOTHING)
