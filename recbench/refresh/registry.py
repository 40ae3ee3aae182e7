"""The registry: releases that appear whole, and one pointer that is moved atomically.

``registry/current`` is a JSON file of one line: the current release and those that were current
before it. Publishing and rolling back replace this one file, so a reader sees the old or the new.
"""

import json
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from recbench.errors import InputError, ReleaseError
from recbench.files import one_at_a_time, sync_directory, write_json
from recbench.refresh.manifest import Manifest, as_release_id, hashed_files, is_release_id

__all__ = ["Registry", "Release"]

POINTER = "current"
DRAFT = ".draft-"
ABANDONED_S = 86_400  # a draft older than this belongs to no living process
REMEMBERED = 50  # earlier releases that the pointer names


@dataclass(frozen=True, slots=True)
class Release:
    """One complete release."""

    folder: Path
    manifest: Manifest

    def path(self, name: str) -> Path:
        """The file ``name``.

        Raises:
            ReleaseError: the release has no such file.
        """
        if name not in self.manifest.files:
            raise ReleaseError(
                f"Release {self.manifest.release} has no file {name!r}, but "
                f"{sorted(self.manifest.files)}"
            )
        return self.folder / name


@dataclass(frozen=True, slots=True)
class Registry:
    """The folder that holds the releases."""

    path: Path

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """A folder to put a release's files into; gone afterwards unless it was sealed."""
        self.path.mkdir(parents=True, exist_ok=True)
        self._sweep()
        folder = self.path / f"{DRAFT}{uuid.uuid4().hex[:8]}"
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def seal(self, draft: Path, manifest: Manifest) -> Release:
        """Make the draft a release: hash its files, write the manifest last, move it into place.

        The id is the time of ``manifest.created`` and eight digits of the checksum of all it binds.

        Raises:
            ReleaseError: the very same release is there already.
        """
        bound = replace(manifest, files=hashed_files(draft))
        complete = replace(bound, release=bound.own_id)
        complete.write(draft)
        for path in draft.iterdir():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
        sync_directory(draft)
        target = self.path / complete.release
        if target.exists():
            raise ReleaseError(f"Release {complete.release} is there already")
        draft.rename(target)
        sync_directory(self.path)
        return Release(target, complete)

    def publish(self, release: str) -> Release:
        """Make ``release`` the current one, after verifying every file; one atomic move.

        Raises:
            ReleaseError: it cannot be opened, or lies outside this registry.
        """
        chosen = self.open(release)
        if chosen.folder.resolve() != (self.path / chosen.manifest.release).resolve():
            raise ReleaseError(
                f"{chosen.folder} is not release {chosen.manifest.release} of {self.path}: only a "
                "release of this registry can be published"
            )
        with one_at_a_time(self.path):
            try:
                current, earlier = self._pointer()
            except ReleaseError:  # a damaged pointer is what publishing again repairs
                current, earlier = None, []
            if current != chosen.manifest.release:
                before = [current, *earlier][:REMEMBERED] if current else earlier
                self._point(chosen.manifest.release, before)
        return chosen

    def roll_back(self, *, of: str | None = None) -> Release:
        """Make the release current that was so before the current one.

        Args:
            of: the release that is to go; default: the current one, whichever it is.

        Raises:
            ReleaseError: there is none, or another one than ``of`` is current.
        """
        if self.current() is None:
            raise self._nothing_yet()
        with one_at_a_time(self.path):
            current, earlier = self._pointer()
            if of is not None and of != current:
                raise ReleaseError(f"{of} is not current any more, {current} is: look again")
            if not earlier:
                raise ReleaseError(f"There is no release before {current} to roll back to")
            chosen = self.open(earlier[0])
            self._point(earlier[0], earlier[1:])
        return chosen

    def prune(self, *, keep: int, protect: Iterable[str] = ()) -> list[str]:
        """Remove releases but the current one and the latest, the oldest first; returns their ids.

        Those that were current last stay, so that there is something to roll back to, and so do
        the newest that never were.

        Args:
            keep: how many of either kind stay beside the current one.
            protect: further ids that stay.

        Raises:
            InputError: ``keep`` is negative.
        """
        if keep < 0:
            raise InputError(f"`keep` must not be negative, got {keep}")
        if self.current() is None:
            return []
        waste = []
        with one_at_a_time(self.path):
            current, earlier = self._pointer()
            never = [release for release in self._ids() if release not in {current, *earlier}]
            stay = {current, *protect, *earlier[:keep], *never[:keep]}
            gone = sorted(release for release in self._ids() if release not in stay)
            if current is not None and any(release in gone for release in earlier):
                self._point(current, [release for release in earlier if release not in gone])
            for release in gone:  # out of sight as a whole
                waste.append(self.path / f"{DRAFT}{uuid.uuid4().hex[:8]}")
                (self.path / release).rename(waste[-1])
        for folder in waste:
            shutil.rmtree(folder, ignore_errors=True)
        return gone

    def current(self) -> str | None:
        """The id of the current release; None before the first."""
        return self._pointer()[0]

    def earlier(self) -> list[str]:
        """The releases that were current before, the latest first: what rolling back returns to."""
        return self._pointer()[1]

    def open(self, release: str = POINTER, *, verify: bool = True) -> Release:
        """A release by id, by ``"current"`` or by the path of its folder; its files verified.

        Raises:
            ReleaseError: there is no such release, or a file of it is missing or changed.
        """
        folder = self._folder(release)
        manifest = Manifest.read(folder)
        if is_release_id(folder.name) and folder.name != manifest.release:
            raise ReleaseError(f"{folder} holds another release, {manifest.release}")
        if verify:
            manifest.verify(folder)
        return Release(folder, manifest)

    def releases(self) -> list[Manifest]:
        """All releases whose manifest can be read, the newest first."""
        held = [self._peek(release) for release in self._ids()]
        return [manifest for manifest in held if isinstance(manifest, Manifest)]

    def unreadable(self) -> dict[str, str]:
        """The ids of all other releases, and what is wrong with each."""
        held = {release: self._peek(release) for release in self._ids()}
        return {name: str(what) for name, what in held.items() if isinstance(what, ReleaseError)}

    def _folder(self, release: str) -> Path:
        if release == POINTER:
            current = self.current()
            if current is None:
                raise self._nothing_yet()
            release = current
        elif os.sep in release:
            if not Path(release).is_dir():
                raise ReleaseError(f"{release!r} is no release: there is no such folder")
            return Path(release)
        folder = self.path / as_release_id(release)
        if folder.is_symlink() or not folder.is_dir():
            raise ReleaseError(
                f"There is no release {release!r} in {self.path}; the latest are {self._ids()[:5]}"
            )
        return folder

    def _nothing_yet(self) -> ReleaseError:
        return ReleaseError(
            f"There is no release in {self.path} yet; make one by `recbench run 03_train_two_tower`"
        )

    def _peek(self, release: str) -> Manifest | ReleaseError:
        try:
            return self.open(release, verify=False).manifest
        except ReleaseError as error:
            return error

    def _ids(self) -> list[str]:
        """The newest first; whatever else lies in the folder is left out."""
        held = (path.name for path in self.path.glob("*") if path.is_dir())
        return sorted(filter(is_release_id, held), reverse=True)

    def _pointer(self) -> tuple[str | None, list[str]]:
        path = self.path / POINTER
        if not path.exists():
            return None, []
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
            return as_release_id(held["release"]), [as_release_id(r) for r in held["earlier"]]
        except (ValueError, KeyError, TypeError) as error:
            raise ReleaseError(f"{path} is damaged; publish a release again") from error

    def _point(self, release: str, earlier: list[str]) -> None:
        write_json(self.path / POINTER, {"release": release, "earlier": earlier})

    def _sweep(self) -> None:
        for draft in [*self.path.glob(f"{DRAFT}*"), *self.path.glob(f".{POINTER}.*.part")]:
            try:
                age_s = time.time() - draft.stat().st_mtime
            except FileNotFoundError:  # another process sealed or swept it just now
                continue
            if age_s > ABANDONED_S and draft.is_dir():
                shutil.rmtree(draft, ignore_errors=True)
            elif age_s > ABANDONED_S:
                draft.unlink(missing_ok=True)
