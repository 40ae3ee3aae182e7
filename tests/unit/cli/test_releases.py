"""`recbench releases`: the registry from the command line."""

import json

import pytest

from recbench.cli import main
from recbench.refresh import Manifest, Registry


@pytest.fixture(autouse=True)
def registry(tmp_path, monkeypatch):
    monkeypatch.setenv("RECBENCH_WORKSPACE", str(tmp_path))
    return Registry(tmp_path / "registry")


@pytest.fixture
def sealed(registry):
    """The ids of two releases, the older first."""
    ids = []
    for day in (1, 2):
        with registry.draft() as draft:
            (draft / "index.txt").write_text(f"day {day}")
            manifest = Manifest(
                release="",
                created=f"2026-01-0{day}T00:00:00+00:00",
                data=f"toy-{day}",
                protocol="masked",
                watermark=f"2026-01-0{day} 00:00:00+00:00",
                lake_version=day,
                parent=None,
                gate={"verdict": "not gated", "reasons": []},
                metrics={},
                settings={},
                parity={},
                code={},
            )
            ids.append(registry.seal(draft, manifest).manifest.release)
    return ids


def failing(capsys, *arguments):
    """The message of a command that exits 2."""
    with pytest.raises(SystemExit) as leaving:
        main(["releases", *arguments])
    assert leaving.value.code == 2
    return capsys.readouterr().err


def test_an_empty_registry_is_listed_as_such(capsys, tmp_path):
    main(["releases", "list", "--json", str(tmp_path / "out.json")])
    assert f"No releases in {tmp_path / 'registry'} yet" in capsys.readouterr().out
    assert json.loads((tmp_path / "out.json").read_text()) == {
        "current": None,
        "releases": [],
        "unreadable": {},
    }


def test_the_list_marks_the_current_release(capsys, tmp_path, registry, sealed):
    registry.publish(sealed[0])
    main(["releases", "list", "--json", str(tmp_path / "out.json")])
    rows = [
        [cell.strip() for cell in line.split("|")[1:4]]
        for line in capsys.readouterr().out.splitlines()[2:]
    ]
    assert rows == [["", sealed[1], "toy-2"], ["*", sealed[0], "toy-1"]]
    held = json.loads((tmp_path / "out.json").read_text())
    assert held["current"] == sealed[0]
    assert [one["lake_version"] for one in held["releases"]] == [2, 1]


def test_the_list_tells_of_releases_that_cannot_be_read(capsys, tmp_path, registry, sealed):
    (registry.path / sealed[0] / "manifest.json").write_text("{")
    main(["releases", "list", "--json", str(tmp_path / "out.json")])
    shown = capsys.readouterr()
    assert sealed[1] in shown.out
    assert shown.err.startswith(f"{sealed[0]} cannot be used: ")
    assert "manifest.json is damaged" in shown.err
    assert list(json.loads((tmp_path / "out.json").read_text())["unreadable"]) == [sealed[0]]


def test_publish_and_rollback_move_the_pointer(capsys, registry, sealed):
    for release in sealed:
        main(["releases", "publish", release])
    assert registry.current() == sealed[1]
    main(["releases", "rollback"])
    assert registry.current() == sealed[0]
    assert capsys.readouterr().out.splitlines() == [
        f"{sealed[0]} is current",
        f"{sealed[1]} is current",
        f"{sealed[0]} is current again",
    ]


def test_show_prints_the_manifest_of_the_current_release_or_of_another(
    capsys, tmp_path, registry, sealed
):
    registry.publish(sealed[1])
    main(["releases", "show", "--json", str(tmp_path / "out.json")])
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "out.json").read_text())
    assert printed["release"] == sealed[1]
    main(["releases", "show", sealed[0]])
    assert json.loads(capsys.readouterr().out)["release"] == sealed[0]


def test_show_before_the_first_release_says_how_to_make_one(capsys):
    assert "make one by `recbench run 03_train_two_tower`" in failing(capsys, "show")


def test_rollback_without_an_earlier_release_exits_2(capsys, registry, sealed):
    registry.publish(sealed[0])
    assert f"no release before {sealed[0]} to roll back to" in failing(capsys, "rollback")


def test_publishing_an_unknown_release_exits_2(capsys, sealed):
    message = failing(capsys, "publish", "20250101T000000Z-00000000")
    assert "no release '20250101T000000Z-00000000' in" in message
    assert str(sealed[::-1]) in message


def test_publishing_a_changed_release_exits_2(capsys, registry, sealed):
    (registry.path / sealed[0] / "index.txt").write_text("changed")
    assert "its checksum differs. Roll back" in failing(capsys, "publish", sealed[0])
    assert registry.current() is None


def test_old_releases_are_removed(capsys, registry, sealed):
    for release in sealed:
        registry.publish(release)
    main(["releases", "prune"])
    assert capsys.readouterr().out == "Nothing to remove\n"
    main(["releases", "prune", "--keep", "0"])
    assert capsys.readouterr().out == f"{sealed[0]} is removed\n"
    assert [manifest.release for manifest in registry.releases()] == sealed[1:]
