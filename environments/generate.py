"""Resolve environments/packages.toml into files of exact pins; needs Python 3.11+ and pip only.

    python environments/generate.py [cpu gpu obp peers]

Each environment is resolved in an empty virtual environment by pip itself, as a dry run: wheels are
not installed. Run it with Python 3.11, the oldest supported one.
"""

import fnmatch
import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

__all__ = ["lock_text", "main", "pins"]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PIP = "pip==26.3"


def main(names: list[str]) -> None:
    """Write the pins of the environments ``names``, or of all."""
    environments = tomllib.loads((HERE / "packages.toml").read_text(encoding="utf-8"))
    unknown = sorted(set(names) - set(environments))
    if unknown:
        sys.exit(f"Unknown environment {unknown[0]!r}; there are: {', '.join(environments)}")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = Path(folder, "bin", "python")
        subprocess.run([python, "-m", "pip", "install", "--quiet", PIP], check=True)
        for name in names or environments:
            environment = environments[name]
            report = _resolve(python, environment)
            text = lock_text(name, pins(report, leave_out=environment["leave_out"]))
            (HERE / environment["file"]).write_text(text, encoding="utf-8")
            print(f"environments/{environment['file']}: {text.count('==')} packages")


def pins(report: dict[str, Any], *, leave_out: list[str]) -> dict[str, str]:
    """Name to exact version, by name, from pip's installation report.

    The project itself and the names matching ``leave_out`` are not in it; a local version label
    (``2.13.0+cpu``) is cut off, since it names a build and not a version.
    """
    found = {
        package["metadata"]["name"].lower().replace("_", "-"): package["metadata"]["version"]
        for package in report["install"]
    }
    return {
        name: version.partition("+")[0]
        for name, version in sorted(found.items())
        if name != "recbench" and not any(fnmatch.fnmatch(name, each) for each in leave_out)
    }


def lock_text(name: str, versions: dict[str, str]) -> str:
    """The lock file of environment ``name``: two lines of comment, then one pin a line."""
    lines = [
        f"# Environment `{name}`. Made by environments/generate.py from environments/packages.toml",
        "# and pyproject.toml: change those and run `make lock`.",
        *(f"{package}=={version}" for package, version in versions.items()),
    ]
    return "\n".join(lines) + "\n"


def _resolve(python: Path, environment: dict[str, Any]) -> dict[str, Any]:
    requirements = list(environment["requirements"])
    if "extras" in environment:
        requirements.append(f"{ROOT}[{','.join(environment['extras'])}]")
    options = ["--dry-run", "--ignore-installed", "--prefer-binary", "--quiet", "--report", "-"]
    done = subprocess.run(
        [python, "-m", "pip", "install", *options, *requirements],
        check=True,
        stdout=subprocess.PIPE,
    )
    report: dict[str, Any] = json.loads(done.stdout)
    return report


if __name__ == "__main__":
    main(sys.argv[1:])
