"""One Delta table of the lake: append once, read by version, read what is new, compact."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, TypeVar

import polars as pl
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

from recbench import columns as c
from recbench.errors import InputError
from recbench.files import one_at_a_time

__all__ = ["LakeTable"]

Mode = Literal["append", "overwrite"]
Result = TypeVar("Result")
Decide = Callable[[Mapping[str, int]], tuple[pl.DataFrame, Mapping[str, int]] | None]

ATTEMPTS = 20  # of one write; when two meet, the later one tries again
STATISTICS_STEP = timedelta(milliseconds=1)  # Delta cuts the times of its statistics down to this


@dataclass(frozen=True, slots=True)
class LakeTable:
    """The Delta table at ``path``; it exists from its first write on.

    ``by_day`` lays the rows out in one folder for each UTC day of their ``ts``.
    """

    path: Path
    by_day: bool = False

    @property
    def exists(self) -> bool:
        """Whether anything was ever written."""
        return DeltaTable.is_deltatable(str(self.path))

    @property
    def version(self) -> int:
        """The latest version."""
        return self._open().version()

    @property
    def identity(self) -> str:
        """What tells this table from another one that was at this path before."""
        return str(self._open().metadata().id)

    def transaction(self, application: str) -> int | None:
        """The last version that ``application`` committed with its data; None if it never did."""
        return self.transactions([application]).get(application)

    def transactions(
        self, applications: Iterable[str], *, version: int | None = None
    ) -> dict[str, int]:
        """The last version of each application that ever committed one with its data.

        Args:
            applications: their names.
            version: as of this version of the table; default: the latest.
        """
        return _transactions(self._open(version), applications) if self.exists else {}

    def append_decided(self, applications: Iterable[str], decide: Decide) -> int | None:
        """Add rows that depend on what was committed before, in one commit with the next versions.

        Args:
            applications: whose last versions ``decide`` needs.
            decide: from the applications' last versions to the rows and the versions that they
                bring the applications to, or None for no commit. It is asked again when another
                writer was first, so that it always sees the table that the rows are added to.

        Returns:
            The version of the commit; None without one.
        """
        return self._committed(applications, decide, mode="append")

    def append(self, frame: pl.DataFrame, *, transaction: tuple[str, int] | None = None) -> int:
        """Add the rows; new columns are added as nullable ones. Returns the version to read.

        Args:
            frame: the rows.
            transaction: (application, version) committed with the rows. Rows of a version that
                was committed before are not written again.
        """
        return self._write_once(frame, mode="append", transaction=transaction)

    def overwrite(self, frame: pl.DataFrame, *, transaction: tuple[str, int] | None = None) -> int:
        """Replace all rows by a new version; the older ones stay readable by version."""
        return self._write_once(frame, mode="overwrite", transaction=transaction)

    def read(self, version: int | None = None) -> pl.LazyFrame:
        """All rows, of the latest or of a given version."""
        latest = self.version
        if version is not None and not 0 <= version <= latest:
            raise InputError(f"{self.path} has versions 0 to {latest}, not {version}")
        return pl.scan_delta(str(self.path), version=version).drop(c.DAY, strict=False)

    def files_since(self, watermark: datetime, *, version: int | None = None) -> list[Path]:
        """The data files that may hold rows later than ``watermark``, by their statistics."""
        actions = pl.DataFrame(self._open(version).get_add_actions(flatten=True))
        latest = pl.col(f"max.{c.TS}") + STATISTICS_STEP
        kept = actions.filter((latest > watermark).fill_null(True))
        return [self.path / name for name in kept["path"]]

    def read_since(self, watermark: datetime, *, version: int | None = None) -> pl.LazyFrame:
        """The rows later than ``watermark``; files that end before it are not opened.

        Args:
            watermark: the last instant that is known already.
            version: as of this version of the table; default: the latest.
        """
        files = self.files_since(watermark, version=version)
        if not files:
            return self.read(version).head(0)
        schema = self.read(version).collect_schema()
        scan = pl.scan_parquet(
            files, schema=schema, missing_columns="insert", extra_columns="raise"
        )
        return scan.filter(pl.col(c.TS) > watermark)

    def compact(self) -> int:
        """Merge small files; the rows stay, in any order. Returns the number of files left."""
        _until_first(lambda: self._open().optimize.compact())
        return len(self._open().file_uris())

    def _open(self, version: int | None = None) -> DeltaTable:
        if not self.exists:
            raise InputError(f"{self.path} is not a Delta table: it has no _delta_log")
        return DeltaTable(str(self.path), version=version)

    def _write_once(
        self, frame: pl.DataFrame, *, mode: Mode, transaction: tuple[str, int] | None
    ) -> int:
        def unless_done(done: Mapping[str, int]) -> tuple[pl.DataFrame, Mapping[str, int]] | None:
            if transaction is None:
                return frame, {}
            name, version = transaction
            return None if done.get(name, version - 1) >= version else (frame, {name: version})

        names = [] if transaction is None else [transaction[0]]
        committed = self._committed(names, unless_done, mode=mode)
        return self.version if committed is None else committed

    def _committed(self, applications: Iterable[str], decide: Decide, *, mode: Mode) -> int | None:
        names = list(applications)

        def attempt() -> int | None:
            table = self._open() if self.exists else None
            # a replayed version is accepted silently by Delta: look first, at the very state of
            # the table that the commit is made against
            decided = decide(_transactions(table, names) if table is not None else {})
            if decided is None:
                return None
            frame, versions = decided
            marks = [Transaction(name, version) for name, version in versions.items()]
            self._write(frame, to=table, mode=mode, marks=marks)
            return self.version

        if self.exists:
            return _until_first(attempt)
        # two that create a Delta table at once may both succeed, each without seeing the other's
        # transactions
        with one_at_a_time(self.path):
            return _until_first(attempt)

    def _write(
        self, frame: pl.DataFrame, *, to: DeltaTable | None, mode: Mode, marks: list[Transaction]
    ) -> None:
        if self.by_day:
            frame = frame.with_columns(pl.col(c.TS).dt.date().alias(c.DAY))
        try:
            write_deltalake(
                self.path if to is None else to,
                frame,
                mode=mode,
                schema_mode="merge" if mode == "append" else "overwrite",
                partition_by=[c.DAY] if self.by_day else None,
                commit_properties=CommitProperties(app_transactions=marks or None),
            )
        except CommitFailedError:
            raise
        except DeltaError as error:
            refused = _os_error(error, self.path)
            if refused is None:
                raise
            raise refused from error


def _transactions(table: DeltaTable, applications: Iterable[str]) -> dict[str, int]:
    found = {name: table.transaction_version(name) for name in applications}
    return {name: version for name, version in found.items() if version is not None}


def _until_first(attempt: Callable[[], Result]) -> Result:
    """The result of a write that was first; after another writer it is tried anew."""
    for _ in range(ATTEMPTS - 1):
        try:
            return attempt()
        except CommitFailedError:
            continue
    return attempt()


def _os_error(error: DeltaError, path: Path) -> OSError | None:
    """What the operating system refused, such as room on a full disk; None if it did not."""
    code = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(code[1]), os.strerror(int(code[1])), str(path)) if code else None
