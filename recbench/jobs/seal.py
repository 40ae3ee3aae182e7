"""A release is sealed, and it and the run that makes it name each other."""

from dataclasses import replace
from pathlib import Path

from recbench.refresh import Manifest, Registry, Release
from recbench.tracking import job_folder, log_release

__all__ = ["makers", "seal_release"]

RUN = "run"  # in a release's ``code``


def seal_release(registry: Registry, draft: Path, manifest: Manifest) -> Release:
    """``Registry.seal``; within a job the release's ``code`` names the run, whose folder names it.

    Raises:
        ReleaseError: as ``Registry.seal``.
    """
    job = job_folder()
    made_by = {} if job is None else {RUN: job.name}
    sealed = registry.seal(draft, replace(manifest, code=manifest.code | made_by))
    told = sealed.manifest
    parent = None if told.parent is None else registry.path / told.parent
    log_release(
        told.release,
        sealed.folder,
        parent=parent if parent is not None and parent.is_dir() else None,
        facts={
            "data": told.data,
            "lake_version": told.lake_version,
            "watermark": told.watermark,
            "parent": told.parent,
            "verdict": told.gate.get("verdict"),
        },
    )
    return sealed


def makers(registry: Registry) -> dict[str, str | None]:
    """Every release of the registry, readable or not, and the run that made it, if it says so."""
    told = {manifest.release: manifest.code.get(RUN) for manifest in registry.releases()}
    return told | dict.fromkeys(registry.unreadable())
