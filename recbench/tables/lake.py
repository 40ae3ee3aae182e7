"""One Delta table of the lake: append once, read by version, read what is new, compact."""

import os
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

from recbench import columns as c
from recbench.errors import InputError

__all__ = ["LakeTable"]

ATTEMPTS = 5  # an append and a compaction may meet; the later one tries again
STATISTICS_STEP = timedelta(milliseconds=1)  # Delta cuts the times of its statistics down to this


@dataclass(frozen=True, slots=True)
class LakeTable:
    """The Delta table at ``path``; it exists from its first write on."""

    path: Path

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
        return self._open().transaction_version(application) if self.exists else None

    def append(self, frame: pl.DataFrame, *, transaction: tuple[str, int] | None = None) -> int:
        """Add the rows; new columns are added as nullable ones. Returns the version to read.

        Args:
            frame: the rows.
            transaction: (application, version) committed with the rows. Rows of a version that
                was committed before are not written again.
        """
        return self._write(frame, mode="append", transaction=transaction)

    def overwrite(self, frame: pl.DataFrame, *, transaction: tuple[str, int] | None = None) -> int:
        """Replace all rows by a new version; the older ones stay readable by version."""
        return self._write(frame, mode="overwrite", transaction=transaction)

    def read(self, version: int | None = None) -> pl.LazyFrame:
        """All rows, of the latest or of a given version."""
        latest = self.version
        if version is not None and not 0 <= version <= latest:
            raise InputError(f"{self.path} has versions 0 to {latest}, not {version}")
        return pl.scan_delta(str(self.path), version=version)

    def files_since(self, watermark: datetime) -> list[Path]:
        """The data files that may hold rows later than ``watermark``, by their statistics."""
        actions = pl.DataFrame(self._open().get_add_actions(flatten=True))
        latest = pl.col(f"max.{c.TS}") + STATISTICS_STEP
        kept = actions.filter((latest > watermark).fill_null(True))
        return [self.path / name for name in kept["path"]]

    def read_since(self, watermark: datetime) -> pl.LazyFrame:
        """The rows later than ``watermark``; files that end before it are not opened."""
        files = self.files_since(watermark)
        if not files:
            return self.read().head(0)
        schema = self.read().collect_schema()
        scan = pl.scan_parquet(
            files, schema=schema, missing_columns="insert", extra_columns="raise"
        )
        return scan.filter(pl.col(c.TS) > watermark)

    def compact(self) -> int:
        """Merge small files; the rows stay, in any order. Returns the number of files left."""
        for attempt in range(ATTEMPTS):
            try:
                self._open().optimize.compact()
                break
            except CommitFailedError:
                if attempt == ATTEMPTS - 1:
                    raise
        return len(self._open().file_uris())

    def _open(self) -> DeltaTable:
        if not self.exists:
            raise InputError(f"{self.path} is not a Delta table: it has no _delta_log")
        return DeltaTable(str(self.path))

    def _write(self, frame: pl.DataFrame, *, mode: str, transaction: tuple[str, int] | None) -> int:
        for attempt in range(ATTEMPTS):
            # a replayed transaction version is accepted silently by Delta: look first
            if transaction is not None:
                done = self.transaction(transaction[0])
                if done is not None and done >= transaction[1]:
                    return self.version
            try:
                self._commit(frame, mode=mode, transaction=transaction)
                break
            except CommitFailedError:
                if attempt == ATTEMPTS - 1:
                    raise
            except DeltaError as error:
                refused = _os_error(error, self.path)
                if refused is None:
                    raise
                raise refused from error
        return self.version

    def _commit(
        self, frame: pl.DataFrame, *, mode: str, transaction: tuple[str, int] | None
    ) -> None:
        marks = [Transaction(*transaction)] if transaction is not None else None
        commit = CommitProperties(app_transactions=marks)
        self.path.mkdir(parents=True, exist_ok=True)
        if mode == "append":
            write_deltalake(
                self.path, frame, mode="append", schema_mode="merge", commit_properties=commit
            )
        else:
            write_deltalake(
                self.path,
                frame,
                mode="overwrite",
                schema_mode="overwrite",
                commit_properties=commit,
            )


def _os_error(error: DeltaError, path: Path) -> OSError | None:
    """What the operating system refused, such as room on a full disk; None if it did not."""
    code = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(code[1]), os.strerror(int(code[1])), str(path)) if code else None
