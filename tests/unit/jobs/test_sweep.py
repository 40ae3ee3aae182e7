"""What a sweep tries, in which order, and what it makes of the trials."""

from pathlib import Path

import pytest

from recbench.errors import InputError, JobError
from recbench.jobs import sweep as module
from recbench.jobs.children import Child
from recbench.jobs.sweep import Sweep

PARAMETERS = "k = 3\nrate = 0.5\nkind = 'a'\nnames = ['x']\ndeep = True"
OPEN = {"k": {"min": 1, "max": 64}, "rate": {"min": 0.001, "max": 1.0}}


@pytest.fixture
def notebook(tmp_path, write_notebook, monkeypatch):
    """The name of a notebook."""
    monkeypatch.setenv("RECBENCH_NOTEBOOKS", str(tmp_path))
    monkeypatch.delenv("RECBENCH_RUN_DIR", raising=False)
    write_notebook(tmp_path / "swept.ipynb", "k", parameters=PARAMETERS)
    return "swept"


@pytest.fixture
def job(tmp_path, monkeypatch):
    """This process belongs to a job, so that trials are kept."""
    folder = tmp_path / "20260101T000000Z-sweep-111111"
    folder.mkdir()
    monkeypatch.setenv("RECBENCH_RUN_DIR", str(folder))
    return folder


class Trials:
    """Stands for the runs: records the square of (k - 20), and does what it is told."""

    def __init__(self, monkeypatch):
        self.asked, self.fails, self.stop_after = [], set(), None
        monkeypatch.setattr(module, "children_as_they_end", self)

    def __call__(self, asked, *, total, at_once, label):
        for each in asked:
            if self.stop_after is not None and len(self.asked) >= self.stop_after:
                raise KeyboardInterrupt
            self.asked.append((each.name, dict(each.parameters)))
            k = each.parameters.get("k", 0)
            bad = k in self.fails
            status, error = ("failed", f"cell 2: ValueError: {k}") if bad else ("succeeded", None)
            metrics = {"loss": {"square": (k - 20) ** 2}, "name": "x"}
            folder = Path(f"run-{each.name.split()[-1]}")
            yield Child(each.name, folder, status, error, 2.5, metrics, {"tiny": 3}, {})


@pytest.fixture
def trials(monkeypatch):
    return Trials(monkeypatch)


def swept(notebook, space, **options):
    return Sweep.of(notebook, space, metric="loss/square", goal="minimize", **options)


def test_a_grid_tries_every_point_once_and_names_the_best(notebook, trials):
    space = {"k": {"values": [5, 19, 40]}, "kind": {"values": ["a", "b"]}, "rate": {"value": 1}}

    result = swept(notebook, space, method="grid", n_trials=100).run()

    points = {(p["k"], p["kind"]) for _, p in trials.asked}
    assert points == {(k, kind) for k in (5, 19, 40) for kind in "ab"}
    assert len(trials.asked) == 6
    assert all(p["rate"] == 1.0 for _, p in trials.asked)
    assert result.best["k"] == 19
    assert (result.value, result.data) == (1.0, {"tiny": 3})
    ranked = result.ranked()
    assert ranked["value"].to_list() == [1.0, 1.0, 225.0, 225.0, 400.0, 400.0]
    assert ranked.columns == ["number", "state", "value", "k", "kind", "seconds", "run", "error"]
    assert result.summary()["best"]["run"] == result.run == ranked["run"][0]


@pytest.mark.parametrize("method", ["random", "bayes"])
def test_a_space_of_few_points_is_tried_whole_and_no_point_twice(notebook, trials, method):
    sweep = swept(notebook, {"k": {"min": 4, "max": 6}}, method=method, n_trials=20)

    sweep.run()

    assert sorted(p["k"] for _, p in trials.asked) == [4, 5, 6]


def test_bayes_comes_nearer_than_chance(notebook, trials):
    values = {
        method: swept(notebook, OPEN, method=method, n_trials=40).run().trials["value"]
        for method in ("random", "bayes")
    }

    assert values["bayes"].tail(20).median() < values["random"].tail(20).median()


def test_a_resumed_sweep_goes_on_and_begins_with_what_was_cut_off(notebook, trials, job):
    trials.stop_after = 3
    sweep = swept(notebook, OPEN, method="random", n_trials=6)
    with pytest.raises(KeyboardInterrupt):
        sweep.run()
    first, trials.asked, trials.stop_after = trials.asked, [], None

    result = sweep.run()

    # three had ended, and the fourth was chosen but never begun
    assert [name for name, _ in trials.asked] == ["trial 3", "trial 4", "trial 5"]
    assert result.trials["number"].to_list() == [0, 1, 2, 3, 4, 5]
    points = [tuple(p.values()) for _, p in first + trials.asked]
    assert len(set(points)) == 6


def test_a_trial_that_fails_counts_and_is_shown(notebook, trials):
    trials.fails = {5}
    space = {"k": {"values": [5, 19, 40]}}

    result = swept(notebook, space, method="grid").run()

    assert result.summary()["n_failed"] == 1
    failed = result.ranked().tail(1)
    assert failed["error"].to_list() == ["cell 2: ValueError: 5"]
    assert failed["value"].to_list() == [None]


def test_a_hopeless_sweep_ends_after_three_trials(notebook, trials):
    trials.fails = set(range(100))

    with pytest.raises(JobError, match=r"first 3 trials failed; run-0: cell 2: ValueError"):
        swept(notebook, OPEN, method="random").run()

    assert len(trials.asked) == 3


def test_a_metric_that_is_no_number_ends_the_sweep_and_names_those_there_are(notebook, trials):
    sweep = Sweep.of(notebook, OPEN, metric="name")
    with pytest.raises(JobError, match=r"recorded 'x' as `name`, no number; it has \['loss/squ"):
        sweep.run()


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"kk": {"values": [1]}}, "no parameter `kk`. Did you mean `k`?"),
        ({"k": {"values": [1, "many"]}}, "`k` cannot be 'many'"),
        ({"k": {"min": 1, "max": 2.5}}, "`k` cannot be 2.5"),
        ({"rate": {"min": 2, "max": 1}}, "No range lies between 2.0 and 1.0"),
        ({"kind": {"min": "a", "max": "b"}}, "`kind` cannot lie between 'a' and 'b'"),
        ({"names": {"values": [["x"]]}}, "`names` cannot be swept over"),
        ({"k": {"values": []}}, "`values` of `k` must be a list, got []"),
        ({"k": {"min": 1}}, "`k` needs `value`, `values`, or `min` and `max`"),
        ({"rate": {"min": 0.1, "max": 1, "distribution": "normal"}}, "got 'normal'"),
        ({"rate": {"mu": 0.1}}, "`rate` is {'mu': 0.1}; a sweep knows"),
        ({"k": 3}, "`k` is 3; a sweep knows"),
        ({"k": {"value": 3}}, "A sweep needs something to vary"),
    ],
)
def test_a_space_that_the_notebook_cannot_take_is_refused(notebook, space, said):
    with pytest.raises(InputError) as refused:
        swept(notebook, space)
    assert said in str(refused.value)


def test_words_that_are_not_known_are_refused(notebook):
    with pytest.raises(InputError, match="`method` must be one of .* got 'hyperband'"):
        Sweep.of(notebook, OPEN, metric="m", method="hyperband")
    with pytest.raises(InputError, match="`goal` must be one of .* got 'more'"):
        Sweep.of(notebook, OPEN, metric="m", goal="more")
    with pytest.raises(InputError, match="`n_trials` must be at least 1, got 0"):
        Sweep.of(notebook, OPEN, metric="m", n_trials=0)
    with pytest.raises(InputError, match="A grid needs `values` of `rate`"):
        Sweep.of(notebook, OPEN, metric="m", method="grid")
