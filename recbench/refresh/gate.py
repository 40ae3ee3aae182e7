"""The gate: from measurements to publish, hold or a full rebuild; a pure function.

A hold leaves the parent in place and is for people to look at; a full rebuild is for what a few
steps cannot mend.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from recbench.refresh.evidence import Evidence
from recbench.refresh.facts import WindowFacts
from recbench.refresh.notes import Step

__all__ = ["Limits", "Measured", "Paired", "Reason", "Verdict", "gate"]

LASTING = "lasting loss"
JUDGED = {
    "held back": "NDCG for {} users who were held back",
    "trained on": "NDCG for {} users that it was trained on",
    "forgetting": "NDCG for {} users of earlier windows",
    "new items": "hits for {} clicks on new items",
}
Decision = Literal["publish", "hold", "full rebuild"]


@dataclass(frozen=True, slots=True)
class Paired:
    """One metric of N users under two models."""

    n_users: int
    own: float  # mean under the model in question
    other: float  # mean under the one it is compared with
    difference: float  # own - other
    standard_error: float | None  # of the difference; None below two users
    n_decided: int  # users with another value under one than under the other

    @classmethod
    def of(cls, own: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> Self:
        """From (N,) values each, of the same users in the same order."""
        difference = own - other
        error = float(difference.std(ddof=1) / np.sqrt(len(own))) if len(own) > 1 else None
        mean, against, gap = (float(a.mean()) if len(a) else 0.0 for a in (own, other, difference))
        return cls(len(own), mean, against, gap, error, int((difference != 0).sum()))

    @property
    def relative(self) -> float:
        """The difference as a share of the other's mean; 0 where that is 0."""
        return self.difference / self.other if self.other else 0.0

    @property
    def relative_error(self) -> float | None:
        """The standard error as a share of the other's mean."""
        error = self.standard_error
        return error / self.other if self.other and error is not None else None

    def is_worse(self, *, margin: float, z: float, fewest: int) -> bool:
        """Whether the model is worse by more than ``margin`` of the other, beyond chance.

        Args:
            margin: share of the other's mean that may be lost.
            z: standard errors that are more than chance.
            fewest: with fewer decided users nothing is said.
        """
        if self.n_decided < fewest or self.standard_error is None:
            return False
        return self.difference + margin * self.other < -z * self.standard_error


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a refresh must keep to; every number may be declared."""

    margin: float = 0.01  # share of NDCG that users who are held back may lose by an update
    older_margin: float = 0.02  # share of it that earlier windows may lose
    z: float = 2.3  # standard errors beyond the margin that are taken for a loss
    fewest_decided: int = 10  # users with another value, below which a slice says nothing
    level: float = 0.05  # chance of ever finding a loss since the anchor where there is none
    step_level: float = 0.05  # the same for each single release against the one before it
    drift: float = 0.10  # 1 - mean cosine of old items' vectors, parent to candidate
    total_drift: float = 0.50  # the same since the last full fit: time for another one
    calibration: float = 3.0  # times more or less hits than the scores promise, than before
    expert_load: float = 4.0  # times an even share, of the busiest expert
    latency_ms: float = 8.0  # median of one request through the exported tower
    size_factor: float = 2.0  # the release's bytes, over the parent's
    share_factor: float = 3.0  # largest share of one item or user, over the largest usual one
    share_floor: float = 0.05  # smaller shares are never suspicious
    odds_factor: float = 3.0  # odds of a click, over or under the usual ones
    late_share: float = 0.05  # of the new events, those older than the watermark
    gap_factor: float = 10.0  # the longest silence, over the longest usual one …
    gap_floor_s: float = 86_400.0  # … where it is longer than this
    filled_factor: float = 0.5  # share of rows with a value in a column, of the usual share
    grown_share: float = 0.25  # new items since the last full fit, of the catalogue


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Everything a verdict rests on."""

    facts: WindowFacts
    usual: Sequence[WindowFacts] = ()
    held_back: Paired | None = None  # candidate, parent with the same popularity; fresh clicks
    trained: Paired | None = None  # the same for users that it was trained on
    older: Paired | None = None  # the same on earlier windows
    cold: Paired | None = None  # hits of new items, one a click of theirs, as for `held_back`
    gain: Paired | None = None  # candidate against the parent as it is served; for the forecast
    anchor: str | None = None  # the last release that was shown to be no worse; None: the parent
    evidence: Evidence | None = None  # the parent against the anchor, over all windows since
    steps: Sequence[Step] = ()  # each of the last releases against the one before it
    drift: float = 0.0  # 1 - mean cosine of old items' vectors
    total_drift: float = 0.0  # the same since the last full fit
    calibration: float = 1.0  # promised over seen hits, relative to the parent's
    expert_load: float = 1.0
    latency_ms: float = 0.0
    size_ratio: float = 1.0
    grown_share: float = 0.0
    broken: Sequence[str] = ()  # what does not hold together in the candidate's files
    failure: str = ""  # why there is no candidate

    def to_json(self) -> dict[str, Any]:
        """For a manifest and a report."""
        held = asdict(self) | {"evidence": self.evidence and self.evidence.to_json()}
        held["steps"] = [step.to_json() for step in self.steps]
        del held["usual"]
        return held

    @classmethod
    def from_json(cls, held: dict[str, Any], usual: Sequence[WindowFacts]) -> Self:
        """What ``to_json`` gave, with the usual windows that are kept elsewhere."""
        kept = {one.name: held[one.name] for one in fields(cls) if one.name in held}
        pairs = ("held_back", "trained", "older", "cold", "gain")
        kept |= {name: Paired(**kept[name]) for name in pairs if kept[name] is not None}
        kept["facts"] = WindowFacts.from_json(kept["facts"])
        kept["evidence"] = kept["evidence"] and Evidence.from_json(kept["evidence"])
        kept["steps"] = tuple(Step.from_json(step) for step in kept["steps"])
        kept["broken"] = tuple(kept["broken"])
        return cls(usual=usual, **kept)


@dataclass(frozen=True, slots=True)
class Reason:
    """One finding that speaks against publishing."""

    name: str  # by which it can be accepted
    text: str

    def __str__(self) -> str:
        """``name: text``."""
        return f"{self.name}: {self.text}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to happen, and why."""

    decision: Decision
    reasons: tuple[Reason, ...] = ()
    roll_back: str | None = None  # to this release, since what came after it is shown to be worse
    accepted: tuple[Reason, ...] = field(default=())  # findings that somebody has looked at

    def to_json(self) -> dict[str, Any]:
        """For a manifest."""
        return {
            "verdict": self.decision,
            "reasons": [str(reason) for reason in self.reasons],
            "accepted": [str(reason) for reason in self.accepted],
            "roll_back": self.roll_back,
        }

    @classmethod
    def from_json(cls, held: dict[str, Any]) -> Self:
        """What ``to_json`` gave."""
        reasons, accepted = (
            tuple(Reason(*text.split(": ", 1)) for text in held[part])
            for part in ("reasons", "accepted")
        )
        return cls(held["verdict"], reasons, held["roll_back"], accepted)


def gate(
    measured: Measured, limits: Limits | None = None, *, accept: Sequence[str] = ()
) -> Verdict:
    """Publish if nothing speaks against it; rebuild where it is the model that has worn out.

    Args:
        measured: of parent, candidate and window.
        limits: default: as declared in ``Limits``.
        accept: names of findings that somebody has looked at and found right.
    """
    limits = limits or Limits()
    holding = [*_of_input(measured, limits), *_of_candidate(measured, limits)]
    accepted = tuple(reason for reason in holding if reason.name in accept)
    holding = [reason for reason in holding if reason.name not in accept]
    worn = [reason for reason in _of_model(measured, limits) if reason.name not in accept]
    worse = _roll_back(measured, limits) if LASTING in {reason.name for reason in worn} else None
    if holding:
        return Verdict("hold", (*holding, *worn), worse, accepted)
    if worn:
        return Verdict("full rebuild", tuple(worn), worse, accepted)
    return Verdict("publish", (), None, accepted)


def _of_input(m: Measured, limits: Limits) -> Iterator[Reason]:
    """What is strange about the events."""
    facts, usual = m.facts, m.usual
    if not facts.n_clicks:
        yield Reason("no clicks", f"{facts.n_events} new events, none of them a click")
    late = facts.n_late / max(1, facts.n_late + facts.n_events)
    if late > limits.late_share:
        yield Reason(
            "late events",
            f"{facts.n_late} of {facts.n_late + facts.n_events} new events are older than the "
            "release's watermark: did a clock jump back?",
        )
    if facts.n_not_finite:
        yield Reason("not finite", f"{facts.n_not_finite} values of the events are NaN or infinite")
    if not usual:
        return
    for column in usual[-1].filled:
        before = sum(one.filled.get(column, 0.0) for one in usual) / len(usual)
        now = facts.filled.get(column, 0.0)
        if now < limits.filled_factor * before:
            yield Reason(
                "dropped column", f"`{column}` is filled in {now:.0%}, before in {before:.0%}"
            )
    for what, name in (("item", "top_item_share"), ("user", "top_user_share")):
        share, most = getattr(facts, name), max(getattr(one, name) for one in usual)
        if share > max(limits.share_floor, limits.share_factor * most):
            yield Reason(
                f"flood of one {what}",
                f"one {what} has {share:.0%} of the window, at most {most:.1%} in the windows "
                "before",
            )
    rates = [one.click_rate for one in usual]
    odds = _odds(facts.click_rate) / _odds(sum(rates) / len(rates))
    if facts.n_clicks and not 1 / limits.odds_factor <= odds <= limits.odds_factor:
        yield Reason(
            "click rate",
            f"{facts.click_rate:.1%} of the events are clicks, {min(rates):.1%} to "
            f"{max(rates):.1%} in the windows before: are labels flipped?",
        )
    longest = max(one.gap_s for one in usual)
    if facts.gap_s > max(limits.gap_floor_s, limits.gap_factor * longest):
        yield Reason(
            "gap",
            f"no event for {_duration(facts.gap_s)}, at most {_duration(longest)} in the windows "
            "before: are events missing?",
        )


def _of_candidate(m: Measured, limits: Limits) -> Iterator[Reason]:
    """What is wrong with what was made."""
    if m.failure:
        yield Reason("failure", m.failure)
    for text in m.broken:
        yield Reason("broken", text)
    for name, pair, margin in (
        ("held back", m.held_back, limits.margin),
        ("trained on", m.trained, limits.margin),
        ("forgetting", m.older, limits.older_margin),
        ("new items", m.cold, limits.older_margin),
    ):
        if pair is None:
            continue
        if pair.is_worse(margin=margin, z=limits.z, fewest=limits.fewest_decided):
            yield Reason(
                name,
                f"{pair.relative:+.1%} {JUDGED[name].format(pair.n_users)} ({pair.own:.4f} after "
                f"{pair.other:.4f}; {margin:.0%} may be lost)",
            )
    if m.drift > limits.drift:
        yield Reason("drift", f"item vectors moved by {m.drift:.3f}, at most {limits.drift}")
    if not 1 / limits.calibration <= m.calibration <= limits.calibration:
        yield Reason(
            "calibration",
            f"scores promise {m.calibration:.2f} times the hits, by the parent's measure",
        )
    if m.expert_load > limits.expert_load:
        yield Reason("router", f"one expert has {m.expert_load:.1f} times its share")
    if m.latency_ms > limits.latency_ms:
        yield Reason("latency", f"{m.latency_ms:.1f} ms a request, at most {limits.latency_ms}")
    if m.size_ratio > limits.size_factor:
        yield Reason("size", f"{m.size_ratio:.1f} times the parent's bytes")


def _of_model(m: Measured, limits: Limits) -> Iterator[Reason]:
    """What small steps will not mend."""
    if _is_worse_than_anchor(m, limits):
        yield Reason(
            LASTING,
            f"over {m.evidence.n_users if m.evidence else 0} users the current release is worse "
            f"than {m.anchor}, the last that was shown to be good, by more than "
            f"{limits.margin:.0%}",
        )
    for step in _bad_steps(m, limits):
        yield Reason(
            LASTING,
            f"over {step.evidence.n_users} users release {step.release} is worse than "
            f"{step.before} before it by more than {step.evidence.margin:.0%}",
        )
    if m.total_drift > limits.total_drift:
        yield Reason("worn out", f"item vectors moved by {m.total_drift:.2f} since the last fit")
    if m.grown_share > limits.grown_share:
        yield Reason("grown", f"{m.grown_share:.0%} of the items came after the last full fit")


def _is_worse_than_anchor(m: Measured, limits: Limits) -> bool:
    return m.evidence is not None and m.evidence.is_worse(level=limits.level)


def _bad_steps(m: Measured, limits: Limits) -> list[Step]:
    return [step for step in m.steps if step.evidence.is_worse(level=limits.step_level)]


def _roll_back(m: Measured, limits: Limits) -> str | None:
    """What was served before the first bad step; the anchor where no single step is to blame."""
    bad = _bad_steps(m, limits)
    return bad[-1].before if bad else m.anchor


def _odds(rate: float) -> float:
    kept = min(max(rate, 1e-4), 1 - 1e-4)
    return kept / (1 - kept)


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
