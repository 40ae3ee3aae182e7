"""What a refresh saw, measured and decided, as tables."""

from collections.abc import Sequence

import polars as pl

from recbench.cluster.energy import joules_per_hundredth
from recbench.jobs.outcomes import Outcome
from recbench.jobs.refresh import Refresh
from recbench.refresh.evidence import Evidence
from recbench.refresh.facts import WindowFacts
from recbench.refresh.forecast import Done, calibration
from recbench.refresh.gate import Paired

__all__ = [
    "calibration_table",
    "facts_table",
    "history_table",
    "measured_table",
    "outcome_table",
]


def facts_table(now: WindowFacts, usual: Sequence[WindowFacts]) -> pl.DataFrame:
    """Each fact of the window beside its range in the windows before."""
    before = [one.to_json() for one in usual]
    rows = []
    for name, value in now.to_json().items():
        if name == "filled":
            continue
        values = [one[name] for one in before]
        span = f"{min(values):.4g} to {max(values):.4g}" if values else ""
        rows.append({"fact": name, "now": float(value), "usual": span})
    return pl.DataFrame(rows)


def measured_table(refresh: Refresh) -> pl.DataFrame:
    """What the gate's verdict rests on; empty where the input alone decided."""
    measured = refresh.measured()
    rows = [
        _pair("users held back, candidate against parent", measured.held_back),
        _pair("users it was trained on, candidate against parent", measured.trained),
        _pair("users of earlier windows, candidate against parent", measured.older),
        _pair("clicks on new items, hits", measured.cold),
        _pair("users held back, candidate against what is served", measured.gain),
    ]
    if measured.evidence is not None:
        rows.append(_bets(f"served now against {measured.anchor}", measured.evidence))
    for step in measured.steps:
        rows.append(_bets(f"{step.release} against {step.before}", step.evidence))
    for name in ("drift", "total_drift", "calibration", "expert_load", "latency_ms", "size_ratio"):
        rows.append({"measure": name, "value": f"{getattr(measured, name):.4g}", "n": None})
    return pl.DataFrame(rows, schema={"measure": pl.String, "value": pl.String, "n": pl.Int64})


def outcome_table(outcome: Outcome) -> pl.DataFrame:
    """How it ended."""
    facts = {
        "decision": outcome.decision,
        "reasons": "; ".join(outcome.reasons) or "nothing speaks against it",
        "release": outcome.release,
        "served now": outcome.current,
        "CPU seconds": f"{outcome.done.cpu_s:.1f}",
        "joules": _joules(outcome.done),
    }
    return pl.DataFrame({"fact": list(facts), "value": [str(value) for value in facts.values()]})


def history_table(past: Sequence[Outcome]) -> pl.DataFrame:
    """The refreshes so far: what was promised, what was measured, what was decided."""
    rows = []
    for number, one in enumerate(past, start=1):
        done, said = one.done, one.done.predicted
        rows.append(
            {
                "refresh": number,
                "events": done.n_events,
                "expected gain": None if said is None else said.gain,
                "low": None if said is None else said.low,
                "high": None if said is None else said.high,
                "measured gain": done.gain,
                "standard error": done.gain_error,
                "CPU s": done.cpu_s,
                "decision": one.decision,
            }
        )
    floats = ("expected gain", "low", "high", "measured gain", "standard error", "CPU s")
    counts = {"refresh": pl.Int64, "events": pl.Int64}
    schema = counts | dict.fromkeys(floats, pl.Float64) | {"decision": pl.String}
    return pl.DataFrame(rows, schema=schema)  # all columns, before the first refresh, too


def calibration_table(past: Sequence[Outcome]) -> pl.DataFrame:
    """How well forecasts have held."""
    found = calibration([one.done for one in past])
    return pl.DataFrame({"figure": list(found), "value": list(found.values())})


def _joules(done: Done) -> str:
    if done.joules is None:
        return "not counted"
    each = joules_per_hundredth(done.joules, done.ndcg_gain)
    return f"{done.joules:.0f}" + ("" if each is None else f", {each:.0f} for each +0.01 NDCG")


def _bets(measure: str, evidence: Evidence) -> dict[str, object]:
    worse, not_worse = evidence.log_wealth_against, evidence.log_wealth_support
    return {
        "measure": f"{measure}, log wealth",
        "value": f"worse {worse:+.2f}, not worse {not_worse:+.2f}",
        "n": evidence.n_users,
    }


def _pair(measure: str, pair: Paired | None) -> dict[str, object]:
    if pair is None:
        return {"measure": measure, "value": "nobody to ask", "n": 0}
    error = "" if pair.relative_error is None else f" ± {pair.relative_error:.1%}"
    value = f"{pair.own:.4f} after {pair.other:.4f} ({pair.relative:+.1%}{error})"
    return {"measure": measure, "value": value, "n": pair.n_users}
