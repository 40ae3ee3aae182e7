"""A refresh's candidate as a release in the registry, with the gate's verdict on its files."""

from dataclasses import replace

from recbench.jobs.candidate import Candidate
from recbench.jobs.refresh_window import RefreshWindow
from recbench.jobs.seal import seal_release
from recbench.refresh import Manifest
from recbench.refresh.advance import Advanced
from recbench.refresh.facts import WindowFacts
from recbench.refresh.gate import Limits, Measured, Verdict, gate
from recbench.refresh.notes import Notes
from recbench.refresh.stored_ranker import has_ranker
from recbench.settings import RefreshSettings

__all__ = ["sealed_candidate"]

Sealed = tuple[Verdict, str, Measured]  # the release's id between them


def sealed_candidate(
    window: RefreshWindow,
    done: Advanced,
    measured: Measured,
    *,
    facts: WindowFacts,
    settings: RefreshSettings,
    limits: Limits,
    accept: tuple[str, ...],
    key: str,
    created: str,
) -> Sealed:
    """Write, measure and seal it; or find what a run sealed that died before it could say so.

    Args:
        window: what was read.
        done: the update.
        measured: what was found before there were files.
        facts: of the window.
        settings: of the refresh.
        limits: of the gate.
        accept: findings of the gate that somebody has looked at.
        key: the refresh's own, by which its release is found again.
        created: when the refresh began, in ISO 8601.
    """
    registry = window.registry
    found = next((m for m in registry.releases() if _key_of(m) == key), None)
    if found is not None:
        told = Measured.from_json(found.metrics["refresh"], window.notes.facts)
        return Verdict.from_json(found.gate), found.release, told
    if has_ranker(window.parent):
        window.say(
            f"The ranker of {window.parent.manifest.release} is not carried on: what it knows is "
            "as of its own instant. `03_train_two_tower -p ranker=true` learns a new one"
        )
    with registry.draft() as draft:
        candidate = _candidate(window, done, settings)
        bound = candidate.write(draft, _notes(window, measured, facts, limits))
        of_files = candidate.measured(draft)
        broken = (*measured.broken, *of_files.pop("broken"))
        measured = replace(measured, broken=broken, **of_files)
        verdict = gate(measured, limits, accept=accept)
        manifest = candidate.manifest(
            key=key, created=created, bound=bound, verdict=verdict, measured=measured
        )
        sealed = seal_release(registry, draft, manifest)
    return verdict, sealed.manifest.release, measured


def _key_of(manifest: Manifest) -> str | None:
    refresh = manifest.settings.get("refresh") or {}
    key: str | None = refresh.get("key")
    return key


def _candidate(window: RefreshWindow, done: Advanced, settings: RefreshSettings) -> Candidate:
    return Candidate(
        log=window.log,
        parent=window.parent,
        state=done.state,
        events=window.events,
        past=window.past_of,
        hidden=window.tombstones(done.state),
        settings=settings,
        history_length=window.experiment.features.history_length,
        export=window.experiment.export,
        new_towers=window.new_towers,
    )


def _notes(window: RefreshWindow, measured: Measured, facts: WindowFacts, limits: Limits) -> Notes:
    return window.notes.after(
        facts,
        parent=window.parent.manifest.release,
        n_known=window.n_before + facts.n_events,
        evidence=measured.evidence,
        steps=measured.steps,
        margin=limits.margin,
        level=limits.level,
    )
