"""Which runs a job has started, in its folder: for its report, and for when it is resumed."""

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from recbench.errors import InputError
from recbench.files import write_json

__all__ = ["ChildRecord", "ChildrenRecord"]

NAME = "children.json"


class ChildRecord(NamedTuple):
    """The folder's name of a child's run, beside that of its parent, and what decides it."""

    run: str
    fingerprint: str


@dataclass(slots=True, eq=False)
class ChildrenRecord:
    """The children of the job in ``folder``, by name; None: outside of a job nothing is kept."""

    folder: Path | None
    _claimed: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, folder: Path | None) -> "ChildrenRecord":
        """The same one for as long as this process lives, which is an attempt of the job."""
        if folder is None:
            return cls(None)
        return OPEN.setdefault(folder, cls(folder))

    def claim(self, name: str) -> None:
        """Use a name, once.

        Raises:
            InputError: it is taken.
        """
        if name in self._claimed:
            raise InputError(f"There are two children named {name!r}; give each its own `name`")
        self._claimed.add(name)

    def began(self, name: str, child: ChildRecord) -> None:
        """Note a child's run."""
        if self.folder is None:
            return
        with self._lock:
            known = {name: each._asdict() for name, each in self.children().items()}
            write_json(self.folder / NAME, known | {name: child._asdict()})

    def children(self) -> dict[str, ChildRecord]:
        """All that are known, those of earlier attempts, too; in the order of their beginning.

        Raises:
            InputError: the file is none of ours.
        """
        if self.folder is None or not (path := self.folder / NAME).exists():
            return {}
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return {name: ChildRecord(**each) for name, each in content.items()}
        except (ValueError, TypeError, AttributeError) as error:
            raise InputError(f"`{path}` is damaged: {error}") from error


OPEN: dict[Path, ChildrenRecord] = {}
