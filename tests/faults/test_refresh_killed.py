"""A refresh is killed at every file it moves into place and inside every step, and two are started
at once: the next one is right, and the work is done once."""

import json
import os
import subprocess
import sys

import pytest

# The parent only imports; each child is a process of its own, so that threads survive no fork.
DRIVER = """
import itertools, json, os, shutil, signal, sys
from pathlib import Path

import deltalake, lightning, numpy as np, onnx, onnxruntime, scipy.sparse, torch.optim  # once

from recbench.datasets import in_lake
from recbench.jobs import candidate, publish, refresh as jobs
from recbench.jobs.rebuild import first_release
from recbench.refresh import Registry
from recbench.refresh import advance as advancing
from recbench.refresh.judge import Judge
from recbench.serving import ReleasedRecommender
from recbench.settings import Experiment, FeatureSettings, RefreshSettings
from recbench.settings import TowerSettings, TrainingSettings

data, place = Path(sys.argv[1]), Path(sys.argv[2])
EXPERIMENT = Experiment(
    features=FeatureSettings(history_length=8),
    towers=TowerSettings(embedding_dim=8, hidden_dim=8),
    training=TrainingSettings(max_steps=4, batch_size=16, n_uniform=20, n_cuts=6),
)

def log_of(workspace):
    return in_lake(data, workspace=workspace)

def run(workspace):
    log = log_of(workspace)
    settings = RefreshSettings(steps=3)
    return jobs.Refresh.of(
        log, workspace=workspace, settings=settings, until=log.instant_at(0.95)
    ).run()

def begin(workspace):
    first_release(log_of(workspace), workspace=workspace, share=0.9, experiment=EXPERIMENT)

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def at_move(n):
    seen = itertools.count()
    def watch(event, arguments):
        if event == "os.rename" and next(seen) == n:
            die()
    sys.addaudithook(watch)

def inside(owner, name, call=0):
    within, calls = getattr(owner, name), itertools.count()
    def dying(*arguments, **options):
        found = within(*arguments, **options)
        if next(calls) == call:
            die()
        return found
    setattr(owner, name, dying)

INSIDE = {
    "update": lambda: inside(advancing, "update_towers"),
    "update, before the exemplars": lambda: inside(advancing, "choose_exemplars"),
    "judge": lambda: inside(Judge, "values", call=1),
    "judge, earlier windows": lambda: inside(Judge, "older"),
    "seal, towers": lambda: inside(publish, "save_towers"),
    "seal, contents": lambda: inside(publish, "write_contents"),
    "seal, state": lambda: inside(publish, "write_state"),
    "seal, verified": lambda: inside(candidate, "broken_parts"),
    "seal, sealed": lambda: inside(Registry, "seal"),
    "publish": lambda: inside(Registry, "publish"),
}

def child(work):
    pid = os.fork()
    if not pid:
        try:
            work()
            os._exit(0)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
    return os.waitpid(pid, 0)[1]

def copied(name="trial"):
    workspace = place / name / "workspace"
    shutil.rmtree(workspace.parent, ignore_errors=True)
    shutil.copytree(place / "first" / "workspace", workspace)
    return workspace

def two_at_once():
    workspace = copied()
    started = []
    for _ in range(2):
        pid = os.fork()
        if not pid:
            try:
                done = run(workspace).decision
                os._exit(0 if done in {"publish", "skip"} else 1)
            except BaseException:
                import traceback
                traceback.print_exc()
                os._exit(1)
        started.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in started] == [0, 0]
    registry = Registry(workspace / "registry")
    assert len(registry.releases()) == 2, registry.releases()
    assert registry.unreadable() == {}

def trial(prepare, name="trial"):
    workspace = copied(name)
    def killed():
        prepare()
        run(workspace)
    status = child(killed)
    if os.WIFEXITED(status):
        assert os.WEXITSTATUS(status) == 0
        return False
    assert os.WTERMSIG(status) == signal.SIGKILL
    registry = Registry(workspace / "registry")
    def check():
        assert registry.unreadable() == {}
        outcome = run(workspace)
        releases = registry.releases()
        assert outcome.decision in {"publish", "skip"}, outcome
        assert len(releases) == 2, releases
        assert registry.open().manifest.parent in {manifest.release for manifest in releases}
        assert registry.unreadable() == {}
        lists = ReleasedRecommender.load(registry.open()).recommend(RECOMMENDED, k=3)
        assert len(lists) == 3 * len(RECOMMENDED)
        assert run(workspace).decision == "skip"
    assert child(check) == 0
    return True

RECOMMENDED = np.arange(1000, 1010)
assert child(lambda: begin(place / "first" / "workspace")) == 0

def side_by_side(prepared):
    # each trial in a process of its own; whether each was killed on the way
    pids = []
    for number, prepare in enumerate(prepared):
        pid = os.fork()
        if not pid:
            try:
                os._exit(KILLED if trial(prepare, f"trial-{number}") else 0)
            except BaseException:
                import traceback
                traceback.print_exc()
                os._exit(1)
        pids.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    assert set(codes) <= {0, KILLED}, codes
    return [code == KILLED for code in codes]

KILLED, BESIDE = 3, 2
moves = 0
while True:
    starts = range(moves, moves + BESIDE)
    killed = side_by_side([lambda n=n: at_move(n) for n in starts])
    moves += sum(killed)
    if not all(killed):
        break
inside_of = list(INSIDE.items())
for at in range(0, len(inside_of), BESIDE):
    names, prepared = zip(*inside_of[at : at + BESIDE])
    assert all(side_by_side(prepared)), names
two_at_once()
print(json.dumps({"moves": moves, "inside": len(INSIDE)}))
"""


@pytest.mark.long(120)
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_anywhere_a_refresh_leaves_a_valid_registry_and_is_done_by_the_next_run(
    tiny_events, tiny_items, tmp_path
):
    tiny_events.write_parquet(tmp_path / "tiny.events.parquet")
    tiny_items.write_parquet(tmp_path / "tiny.items.parquet")
    run = subprocess.run(
        [sys.executable, "-c", DRIVER, str(tmp_path / "tiny.events.parquet"), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1", "RECBENCH_TRACKING": "off"},
        timeout=580,
    )
    assert run.returncode == 0, run.stderr[-3_000:]
    done = json.loads(run.stdout.splitlines()[-1])
    # decides, read, forecast, weights, update, judge, the release, seal, the pointer, outcome
    assert done["moves"] >= 10
    assert not list(tmp_path.glob("trial*/workspace/registry/.draft-*"))
