"""What an update is worth, and what its window says of the releases before it."""

from dataclasses import replace
from typing import Any

from recbench.jobs.refresh_window import RefreshWindow
from recbench.refresh.advance import Advanced
from recbench.refresh.examine import examine, total_drift, window_values
from recbench.refresh.facts import WindowFacts
from recbench.refresh.gate import Measured
from recbench.refresh.notes import judged_since

__all__ = ["judged"]


def judged(window: RefreshWindow, done: Advanced, *, facts: WindowFacts, margin: float) -> Measured:
    """All that the gate asks and that needs no files.

    Args:
        window: whose events and users judge.
        done: the update.
        facts: of the window.
        margin: share of NDCG that users who were held back may lose.
    """
    measured = examine(
        done,
        window.events,
        past=window.past_of,
        judge=window.judge,
        facts=facts,
        hidden=window.tombstones,
    )
    return replace(
        measured,
        **_since(window, margin=margin),
        total_drift=_total_drift(window, done),
        grown_share=1 - window.notes.n_items_full / len(done.state.items),
    )


def _since(window: RefreshWindow, *, margin: float) -> dict[str, Any]:
    """``anchor, evidence, steps``: what the window's users say of the last releases."""
    manifest, notes = window.parent.manifest, window.notes
    refreshed = manifest.parent if "refresh" in manifest.settings else None
    followed = notes.followed(release=manifest.release, before=refreshed, margin=margin)
    names = {name for step in followed for name in (step.release, step.before)}
    states = {manifest.release: window.state}
    for name in sorted(names | ({notes.anchor} if notes.anchor else set())):
        if (state := window.state_of(name)) is not None:
            states[name] = state
    found = window_values(
        list(states.values()),
        events=window.events,
        past=window.past_of,
        judge=window.judge,
        hidden=window.tombstones,
    )
    values = dict(zip(states, found, strict=True))
    return judged_since(values, notes, followed, release=manifest.release, margin=margin)


def _total_drift(window: RefreshWindow, done: Advanced) -> float:
    """Since the last full fit; none where that is gone."""
    full = window.state_of(window.notes.full)
    if full is None:
        return 0.0
    return total_drift(full, done.state, items=window.log.items, judge=window.judge)
