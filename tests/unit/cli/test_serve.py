"""What `recbench serve` refuses before anything listens; the service itself is in unit/serving."""

import socket

import pytest

from recbench.cli import main
from recbench.refresh import Registry


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("RECBENCH_WORKSPACE", str(tmp_path))
    return tmp_path


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as leaving:
        main(["serve", *arguments])
    return leaving.value.code, capsys.readouterr().err


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org"])
def test_other_machines_are_let_in_only_with_a_token(host, capsys):
    code, error = refused(capsys, "--host", host)
    assert code == 2
    assert f"{host} is reached from other machines: give --token-file" in error


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xff", "cannot be read"),
        ("schlüssel".encode(), "must be printable ASCII"),
        (b"two\nlines", "must be printable ASCII"),
    ],
)
def test_a_token_that_no_header_could_show_is_refused(workspace, content, message, capsys):
    file = workspace / "token"
    if content is not None:
        file.write_bytes(content)
    code, error = refused(capsys, "--token-file", str(file))
    assert code == 2
    assert message in error


def test_online_features_have_one_place(capsys):
    both = ["--redis", "redis://127.0.0.1:1/0", "--snapshot", "online.safetensors"]
    code, error = refused(capsys, *both)
    assert code == 2
    assert "in Redis or in a snapshot: name one of them" in error


def test_no_time_at_all_is_refused(capsys):
    code, error = refused(capsys, "--timeout", "0s")
    assert code == 2
    assert "`body_s` must be positive, got 0.0" in error


def test_a_port_that_is_taken_is_named(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, error = refused(capsys, "--port", str(taken.getsockname()[1]))
    assert code == 1
    assert "Address already in use" in error


def test_a_release_that_does_not_exist_is_named_at_once(capsys):
    code, error = refused(capsys, "--release", "20260131T120000Z-0a1b2c3d")
    assert code == 2
    assert "There is no release '20260131T120000Z-0a1b2c3d'" in error


def test_a_precision_that_the_release_lacks_is_refused_at_once(workspace, served_toy, capsys):
    registry = Registry(workspace / "registry")
    toy = served_toy.seal(registry).release.manifest.release
    registry.publish(toy)
    for named in ([], ["--release", toy]):
        code, error = refused(capsys, "--precision", "int8", *named)
        assert code == 2
        assert f"Release {toy} has no query tower in int8: it was made without" in error


@pytest.mark.parametrize(
    ("dials", "message"),
    [
        ("traffic=2", "`traffic_frac` must lie in [0, 1], got 2.0"),
        ("slots=many", "got 'slots=many'"),
        ("luck=1", "Exploration is NAME=NUMBER of traffic, slots"),
        ("slots=200", "`pool` must be larger than `slots` 200, got 100"),
    ],
)
def test_exploration_that_cannot_be_is_refused_before_anything_listens(
    workspace, capsys, dials, message
):
    with pytest.raises(SystemExit) as leaving:
        main(["serve", "--explore", dials])
    assert leaving.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--decide", "epsilon=0.1"], "give --policy SNAPSHOT or --floor"),
        (["--policy", "p", "--decide", "epsilon=2"], "`epsilon` must lie in [0, 1], got 2.0"),
        (["--policy", "p", "--decide", "rule=luck"], "greedy, ucb, thompson, got 'luck'"),
        (["--policy", "p", "--decide", "luck=1"], "--decide is NAME=VALUE of rule, scale"),
        (["--policy", "p", "--explore", "traffic=0.1"], "a policy has a budget of its own"),
        (
            ["--floor", "tail"],
            "A floor is tail=SHARE or new=SHARE, and perhaps ,free=SHARE; got 'tail'",
        ),
        (["--floor", "tail=0.1,free=0.9"], "free=SHARE, from 0 to 0.5; got 'free=0.9'"),
        (["--floor", "tail=0.1,often=0.1"], "free=SHARE, from 0 to 0.5; got 'often=0.1'"),
        (["--floor", "head=0.1"], "A floor is for tail or new, got 'head'"),
        (["--floor", "new=1.5"], "`least` must lie in [0, 1], got 1.5"),
    ],
)
def test_policy_that_cannot_be_is_refused_before_anything_listens(
    workspace, capsys, options, message
):
    code, error = refused(capsys, *options)
    assert code == 2
    assert message in error
