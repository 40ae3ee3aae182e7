"""What an experiment on freshness is asked to do, and the key by which it is known again."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from recbench import columns as c
from recbench.errors import InputError
from recbench.files import sha256_of
from recbench.jobs.freshness.arms import Arm, arms_of, release_arm, together
from recbench.refresh.cadence import NEVER, Cadence
from recbench.tables.log import EventLog

__all__ = ["MODELS", "SLOW", "FreshnessPlan"]

MODELS = ("ours", "counters", "popularity", "itemknn", "ease", "two-tower")
REFERENCES = ("itemknn", "ease")  # fitted anew at every tick; beside the others, asked for or not
SLOW = ("two-tower",)  # asked for by name, and only as releases at each cadence
CADENCES = ("never", "1d", "1h", "15m")
NAMES = ("arms", "asked", "lists", "releasing", "tracks", "tune", "two_tower", "walk", "worth")
SOURCES = (  # below recbench: whose change makes results other ones
    *(f"jobs/freshness/{name}.py" for name in NAMES),
    "models/streaming",
    "models/baselines",
    "refresh/cadence.py",
    "tables/click_stream.py",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshnessPlan:
    """The dials of the experiment itself."""

    from_share: float = 0.6  # of the log's events: where the test begins
    cadences: tuple[Cadence, ...] = tuple(map(Cadence.of, CADENCES))
    factorials: tuple[tuple[Cadence, Cadence], ...] = ()  # of a stale and a fresh cadence
    models: tuple[str, ...] = tuple(name for name in MODELS if name not in SLOW)
    k: int = 20  # length of the lists
    most_requests: int = 20_000  # clicks that are asked; of more some are drawn
    most_refreshes: int = 200  # of the weights, in each arm
    tolerance: float = 0.01  # of NDCG that the recommended cadence may lose to the best
    seed: int = 0

    def __post_init__(self) -> None:
        """Values that nothing can be made of are named."""
        if not 0 < self.from_share < 1:
            raise InputError(f"`from_share` must lie between 0 and 1, got {self.from_share}")
        if unknown := [name for name in self.models if name not in MODELS]:
            raise InputError(f"`models` are of {list(MODELS)}, got {unknown[0]!r}")
        if MODELS[0] not in self.models:
            raise InputError(f"`models` must have {MODELS[0]!r} among them, got {self.models}")
        if not self.timed:
            raise InputError(
                f"One of `cadences` must be a length of time such as 15m, got "
                f"{[cadence.name for cadence in self.cadences]}"
            )
        if min(self.k, self.most_requests, self.most_refreshes) < 1:
            raise InputError("`k`, `most_requests` and `most_refreshes` must be at least 1")

    @classmethod
    def named(
        cls,
        *,
        cadences: Sequence[str],
        factorials: Sequence[str] = (),
        models: Sequence[str] = (),
        **dials: object,
    ) -> Self:
        """From texts: cadences as ``15m``, factorials as ``1d-15m``.

        Without a factorial there are two, from the stalest length of time to the freshest, and to
        histories at every event. ``REFERENCES`` always stand beside the models that are named.

        Raises:
            InputError: a text is none.
        """
        known = tuple(map(Cadence.of, cadences))
        pairs = [*factorials] or _usual(known)
        parsed = []
        for pair in pairs:
            coarse, _, fine = pair.partition("-")
            if not fine:
                raise InputError(f"A factorial is two cadences such as 1d-15m, got {pair!r}")
            parsed.append((Cadence.of(coarse), Cadence.of(fine)))
        if models:
            dials["models"] = tuple(dict.fromkeys([*models, *REFERENCES]))
        return cls(cadences=known, factorials=tuple(parsed), **dials)  # type: ignore[arg-type]  # dials by name

    @property
    def timed(self) -> list[Cadence]:
        """Every cadence with a length, the freshest first."""
        every = {*self.cadences, *(cadence for pair in self.factorials for cadence in pair)}
        return sorted((c for c in every if c.every_us), key=lambda c: c.staleness_us)

    @property
    def arms(self) -> list[Arm]:
        """Every arm once."""
        return arms_of(self.timed, self.factorials)

    def arms_of(self, model: str) -> list[Arm]:
        """Those that a model goes through: all, or of a slow one those of the curve."""
        if model not in SLOW:
            return self.arms
        return [together(NEVER), *(release_arm(cadence) for cadence in self.curve)]

    def check_span(self, log: EventLog, *, start: int, end: int) -> None:
        """Whether a test from ``start`` to ``end``, microseconds, can tell the cadences apart.

        Raises:
            InputError: it cannot.
        """
        ts = log.events[c.TS]
        if ts[0] == ts[-1]:
            raise InputError(
                f"All {len(ts)} events happened at one instant, {ts[0]}: nothing is fresher than "
                "anything else"
            )
        if start == round(ts[0].timestamp() * 1e6):
            raise InputError(
                f"Nothing happened before the test: the event at {self.from_share:.0%} of the log "
                "is as old as the first one; begin later"
            )
        span_s = (end - start) / 1e6
        for cadence in self.timed:
            if (cadence.every_us or 0) >= end - start:
                raise InputError(
                    f"The test spans {span_s / 3600:.1f} hours, from {self.from_share:.0%} of the "
                    f"log on, which is no more than the cadence {cadence.name}: it would be the "
                    "same as never. Leave it out, or begin earlier"
                )

    def key(self, log: EventLog) -> str:
        """Of what decides every result: log, plan, code."""
        root = Path(__file__).parents[2]
        places = [root / source for source in SOURCES]
        files = [
            path
            for place in places
            for path in ([place] if place.suffix else sorted(place.rglob("*.py")))
        ]
        code = [f"{path.relative_to(root)} {sha256_of(path)}" for path in files]
        span = [len(log.events), str(log.watermark)]
        decides = [log.name, log.version, log.protocol, span, repr(self), code]
        return hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:16]

    @property
    def curve(self) -> list[Cadence]:
        """The cadences of the curve, the stalest first."""
        return [NEVER, *reversed(self.timed)]


def _usual(cadences: Sequence[Cadence]) -> list[str]:
    timed = sorted((c for c in cadences if c.every_us), key=lambda c: c.staleness_us)
    if not timed:
        return []
    coarse, fine = timed[-1].name, timed[0].name
    return ([f"{coarse}-{fine}"] if len(timed) > 1 else []) + [f"{coarse}-event"]
