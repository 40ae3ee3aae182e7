"""Stages of a notebook: what a finished one gave is there when the run is resumed."""

import hashlib
import os
import pickle
import re
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from recbench.errors import InputError
from recbench.files import whole_file, write_json
from recbench.jobs.code_digest import code_digest
from recbench.jobs.steps import Steps

__all__ = ["stage"]

Result = TypeVar("Result")
PLAIN_NAME = re.compile(r"[\w.-]+")
MADE: dict[Path, dict[str, dict[str, Any]]] = {}  # by run's folder: the stages so far, in order


def stage(name: str, make: Callable[[], Result], *, inputs: Iterable[Any] = ()) -> Result:
    """What ``make`` gives: computed, or, in a resumed run, what the earlier attempt kept.

    Within a job the result is pickled into ``stages/`` of the run's folder, with a fingerprint of
    what decides it: every cell run so far (and so the parameters), the stages before, ``inputs``
    and the package's own code. Where any of these differs, it is made again, and so is what
    follows. Outside of a job ``make`` is simply called.

    Args:
        name: once in a notebook; letters, digits, ``_``, ``.`` and ``-``.
        make: takes nothing; may have effects outside: they are not repeated either.
        inputs: whatever else decides the result, such as a data version; by their ``repr``.

    Raises:
        InputError: a name that was used already or is not plain, or a result that no file can
            keep.
    """
    if PLAIN_NAME.fullmatch(name) is None:
        raise InputError(f"A stage needs a plain name, got {name!r}")
    of_job = os.environ.get("RECBENCH_RUN_DIR")
    if not of_job:
        return make()
    made = MADE.setdefault(Path(of_job), {})
    if name in made:
        raise InputError(f"There are two stages named {name!r} in this notebook")
    steps = Steps(Path(of_job, "stages"))
    fingerprint = _fingerprint(made, inputs)
    is_kept = steps.has(name) and steps.read(name)["fingerprint"] == fingerprint
    begun = time.perf_counter()
    result: Result = _kept(steps, name) if is_kept else _made(steps, name, make, fingerprint)
    seconds = round(time.perf_counter() - begun, 3)
    made[name] = {"fingerprint": fingerprint, "seconds": seconds, "reused": is_kept}
    write_json(Path(of_job, "stages.json"), made)
    sys.stdout.write(f"stage {name}: {seconds:.1f} s{', of the earlier attempt' * is_kept}\n")
    return result


def _made(steps: Steps, name: str, make: Callable[[], Result], fingerprint: str) -> Result:
    with steps.timed(name) as facts:
        result = make()
        facts["fingerprint"] = fingerprint
        try:
            with whole_file(_file(steps, name)) as draft, draft.open("wb") as stream:
                pickle.dump(result, stream, protocol=5)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            raise InputError(f"What stage {name!r} gives cannot be kept: {error}") from error
    return result


def _kept(steps: Steps, name: str) -> Any:
    with _file(steps, name).open("rb") as stream:
        return pickle.load(stream)  # our own run's file


def _file(steps: Steps, name: str) -> Path:
    return steps.folder / f"{name}.pickle"


def _fingerprint(made: dict[str, dict[str, Any]], inputs: Iterable[Any]) -> str:
    before = [stage["fingerprint"] for stage in made.values()]
    decides = [code_digest(), *_cells(), *before, *(repr(each) for each in inputs)]
    return hashlib.sha256("\0".join(decides).encode()).hexdigest()


def _cells() -> list[str]:
    """The source of every cell that this kernel has run, and of the one that it runs."""
    from IPython import get_ipython

    shell = get_ipython()
    return [] if shell is None else list(shell.user_ns["In"])
