import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from recbench.cli import main
from recbench.jobs.manifest import Manifest


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A folder of one's own, with runs and notebooks in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECBENCH_TRACKING", "off")
    monkeypatch.setenv("RECBENCH_NOTEBOOKS", str(tmp_path))
    monkeypatch.delenv("RECBENCH_RUNS", raising=False)
    return tmp_path


def refused(*arguments):
    """The exit code of a command that does not succeed."""
    with pytest.raises(SystemExit) as leaving:
        main(list(arguments))
    return leaving.value.code


def test_the_folder_is_the_last_line_and_progress_is_plain_lines(home, write_notebook, capsys):
    write_notebook(home / "tiny.ipynb", "print(k)")

    main(["run", "tiny", "-p", "k=4", "--json", "result.json"])

    lines = capsys.readouterr().out.splitlines()
    (folder,) = (home / "papermill_runs").iterdir()
    assert lines[-1] == str(folder)
    assert lines[1:-1] == ["cell 1/3", "cell 2/3", "cell 3/3"]
    assert json.loads((home / "result.json").read_text()) == {
        "run": str(folder),
        "status": "succeeded",
        "metrics": {},
    }


def test_like_repeats_a_run_with_its_parameters_and_names_what_differs(
    home, write_notebook, capsys
):
    write_notebook(home / "tiny.ipynb", "print(k)", parameters="k = 3\nname = 'a'")
    main(["run", "tiny", "-p", "k=4"])
    first = capsys.readouterr().out.splitlines()[-1]
    earlier = Manifest.read(home / first)
    earlier.environment["packages"]["polars"] = "0.1"
    earlier.write(home / first)

    main(["run", "--like", first, "-p", "name=b"])

    lines = capsys.readouterr().out.splitlines()
    again = Manifest.read(home / lines[-1])
    assert again.parameters == {"k": 4, "name": "b"}
    (told,) = [n for n, line in enumerate(lines) if line.startswith(f"Differs from {earlier.run}")]
    assert "polars was 0.1, is " in lines[told]
    assert lines[told + 1].startswith("Running in ")  # told before it runs


def test_like_repeats_a_run_whose_notebook_has_gone(home, write_notebook, capsys):
    notebook = write_notebook(home / "tiny.ipynb", "print('k is', k)")
    main(["run", "tiny", "-p", "k=4"])
    first = capsys.readouterr().out.splitlines()[-1]
    notebook.unlink()

    main(["run", "--like", first])
    second = capsys.readouterr().out.splitlines()[-1]
    shutil.rmtree(home / first)
    main(["run", "--like", second, "-p", "k=5"])

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Notebook: the cells that ran then, ")
    assert (home / second / "log.txt").read_text() == "k is 4\n"
    assert (home / lines[-1] / "log.txt").read_text() == "k is 5\n"
    names = [Path(folder).name for folder in (second, lines[-1])]
    assert [name.split("-")[1] for name in names] == ["tiny", "tiny"]


def test_a_failed_run_exits_1_names_the_cell_and_still_prints_the_folder_last(
    home, write_notebook, capsys
):
    write_notebook(home / "bad.ipynb", "raise KeyError('item 17')")

    assert refused("run", "bad") == 1

    printed = capsys.readouterr()
    (folder,) = (home / "papermill_runs").iterdir()
    assert printed.out.splitlines()[-1] == str(folder)
    assert f"failed in cell 2: KeyError: 'item 17'; what there is lies in {folder}" in printed.err


def test_resume_takes_a_failed_run_up_again(home, write_notebook, capsys):
    notebook = write_notebook(home / "bad.ipynb", "raise KeyError('item 17')")
    assert refused("run", "bad", "-p", "k=9") == 1
    folder = capsys.readouterr().out.splitlines()[-1]
    write_notebook(notebook, "print('mended', k)")

    main(["run", "--resume", folder])

    assert capsys.readouterr().out.splitlines()[-1] == folder
    assert (home / folder / "log.txt").read_text() == "mended 9\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "tinny"], "There is no notebook `tinny`. Did you mean `tiny`?"),
        (["run", "tiny", "-p", "kk=1"], "has no parameter `kk`. Did you mean `k`?"),
        (["run", "tiny", "-p", "k=1.5"], "Parameter `k` cannot be 1.5; declared: k: int = 3"),
        (["run", "tiny", "-p", "k"], "`-p k` has no `=`"),
        (["run"], "got 0"),
        (["run", "tiny", "--like", "x"], "got 2"),
        (["run", "--resume", "x", "-p", "k=1"], "--resume keeps the run's parameters"),
        (["run", "tiny", "--source", "kept"], "--source belongs to --like"),
        (["run", "--like", "x"], "There is no run `x`"),
        (["run", "--resume", "x"], "There is no run `x`"),
    ],
)
def test_bad_input_exits_2_and_runs_nothing(home, write_notebook, capsys, arguments, message):
    write_notebook(home / "tiny.ipynb", "print(k)")

    assert refused(*arguments) == 2

    assert message in capsys.readouterr().err
    assert not (home / "papermill_runs").exists()


def test_runs_that_cannot_be_created_exit_2_with_the_place(home, write_notebook, capsys):
    write_notebook(home / "tiny.ipynb", "print(k)")
    (home / "papermill_runs").write_text("a file")

    assert refused("run", "tiny") == 2

    assert "set RECBENCH_RUNS" in capsys.readouterr().err


def test_a_run_that_has_the_time_needs_a_tariff_and_knows_what_it_takes(
    tmp_path, write_notebook, monkeypatch, capsys
):
    write_notebook(tmp_path / "n.ipynb", "print(k)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECBENCH_RUNS", str(tmp_path / "runs"))
    (tmp_path / "tariff.csv").write_text("from,price\n00:00,0.1\n")
    for options, said in [
        (["--within", "8h"], "Give --within and --tariff together"),
        (["--within", "8h", "--tariff", "tariff.csv"], "No run of `n` in"),
    ]:
        with pytest.raises(SystemExit) as leaving:
            main(["run", "n.ipynb", *options])
        assert leaving.value.code == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.alone  # beside others it would have to wait for them
@pytest.mark.skipif(sys.platform != "linux", reason="Linux has idle priorities")
def test_an_idle_run_takes_what_time_is_left_and_its_kernels_session_counts_little(
    home, write_notebook
):
    seen = "import os\nfrom pathlib import Path\nweight = Path('/proc/self/autogroup')\n"
    seen += "told = (weight.read_text() if weight.exists() else '') or 'nice 19'\n"
    seen += "print('idle', os.sched_getscheduler(0) == os.SCHED_IDLE, told)"
    write_notebook(home / "tiny.ipynb", seen)
    command = "from recbench.cli import main; main(['run', 'tiny', '--idle'])"
    done = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=True
    )
    log = (home / done.stdout.split()[-1] / "log.txt").read_text().split()
    assert log[:2] == ["idle", "True"]
    assert log[-2:] == ["nice", "19"]


def test_idle_is_about_this_machine(home, write_notebook, capsys):
    write_notebook(home / "tiny.ipynb", "print(1)")
    assert refused("run", "tiny", "--idle", "--on", "local") == 2
    assert "--idle is about this machine" in capsys.readouterr().err
