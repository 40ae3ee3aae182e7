"""What a run read and made, as W&B artifacts: small descriptions and references, no copies."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import wandb

__all__ = ["as_input", "data_artifact", "release_artifact"]

NOT_ALLOWED = re.compile(r"[^\w.-]+")  # in an artifact's name


def data_artifact(name: str, version: Any) -> "wandb.Artifact":
    """A data set at a version: the same name and version is the same artifact, in any run."""
    facts = {"name": name, "version": version}
    artifact = _artifact(f"data-{name}", "dataset", facts)
    _add(artifact, "data.json", facts)
    return artifact


def release_artifact(folder: Path, facts: Mapping[str, Any]) -> "wandb.Artifact":
    """A release: its manifest, which holds every file's checksum, and where its files lie.

    Args:
        folder: of the release.
        facts: shown beside it.
    """
    artifact = _artifact("release", "release", facts)
    artifact.add_file(str(folder / "manifest.json"))
    artifact.add_reference(folder.absolute().as_uri(), name="files", checksum=False)
    return artifact


def as_input(run: "wandb.Run", artifact: "wandb.Artifact", *, alias: str) -> None:
    """Record that the run read the artifact, which is also found by ``alias``.

    ``Run.use_artifact`` refuses to do so offline, though the run's file has a place for it: this is
    the half of it that needs no server.
    """
    run._log_artifact(artifact, aliases=[alias], is_user_created=True, use_after_commit=True)


def _artifact(name: str, kind: str, facts: Mapping[str, Any]) -> "wandb.Artifact":
    import wandb

    return wandb.Artifact(NOT_ALLOWED.sub("-", name)[:128], type=kind, metadata=dict(facts))


def _add(artifact: "wandb.Artifact", name: str, content: Mapping[str, Any]) -> None:
    with artifact.new_file(name) as stream:
        stream.write(json.dumps(content, sort_keys=True))
