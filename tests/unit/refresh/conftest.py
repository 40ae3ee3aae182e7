import pytest

from recbench.refresh import Manifest, Registry


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "registry")


@pytest.fixture
def a_manifest():
    """A manifest as its maker hands it in, created at a given second."""

    def make(second=0):
        return Manifest(
            release="",
            created=f"2026-01-01T12:00:{second:02d}+00:00",
            data="toy",
            protocol="masked",
            watermark="2026-01-01 11:00:00+00:00",
            lake_version=3,
            parent=None,
            gate={"verdict": "not gated", "reasons": []},
            metrics={"ndcg@20": 0.25},
            settings={"seed": 0},
            parity={"largest_difference": 0.0},
            code={"version": "0.1"},
        )

    return make


@pytest.fixture
def seal(registry, a_manifest):
    """Seals a release of two small files, later ones with a later second."""

    def make(text="index", second=0):
        with registry.draft() as draft:
            (draft / "index.txt").write_text(text)
            (draft / "tower.txt").write_text(f"tower of {text}")
            return registry.seal(draft, a_manifest(second))

    return make
