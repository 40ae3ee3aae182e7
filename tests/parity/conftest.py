"""Other libraries as judges: each answers JSON from its own environment, as a subprocess."""

import json
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = Path(__file__).parent / "foreign"


def _asker(environment: str):
    python = ROOT / f".venv-{environment}" / "bin" / "python"
    if not (python.parents[1] / ".complete").exists():
        pytest.skip(f"{python.parents[1].name} is not built: run `make env-{environment}`")

    def ask(question: str, **payload):
        """The answer of ``foreign/<environment>_answers.py`` to ``question``."""
        done = subprocess.run(
            [python, SCRIPTS / f"{environment}_answers.py", question],
            input=json.dumps(payload),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return ask


@pytest.fixture(scope="session")
def ask_obp():
    return _asker("obp")


@pytest.fixture(scope="session")
def ask_peers():
    return _asker("peers")
