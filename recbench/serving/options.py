"""What a service is told when it starts, and the limits that it holds its clients to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from recbench.errors import InputError

if TYPE_CHECKING:
    from recbench.policy.decision import DecisionDials
    from recbench.policy.exploration import ExplorationBudget
    from recbench.serving.protected import FloorDial

__all__ = ["ExposureLog", "Limits", "OnlinePlace", "PolicyOptions", "ServiceOptions"]

USUAL_K = 20
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one request, and all of them together, may ask of a worker."""

    body_bytes: int = 1 << 20  # larger bodies are refused
    k: int = 500  # longest list
    history: int = 10_000  # events of an explicit history
    body_s: float = 5.0  # for a request to arrive whole
    store_s: float = 0.05  # for the online store to answer
    in_flight: int = 64  # whole requests waiting in one worker; beyond it they are shed
    drain_s: float = 10.0  # for requests to end when the service stops

    def __post_init__(self) -> None:
        """Refuse limits that let nothing through."""
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                raise InputError(f"`{name}` must be positive, got {getattr(self, name)}")

    @property
    def default_k(self) -> int:
        """The length of a list whose request names none."""
        return min(USUAL_K, self.k)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlinePlace:
    """Where ``recbench follow`` keeps the online features: a store in Redis, or a snapshot."""

    redis_url: str | None = None
    name: str = "online"  # of the store in Redis
    snapshot: Path | None = None

    def __post_init__(self) -> None:
        """Refuse two places, or none."""
        if (self.redis_url is None) == (self.snapshot is None):
            raise InputError(
                "The online features are in Redis or in a snapshot: name one of them, got "
                f"{self.redis_url} and {self.snapshot}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureLog:
    """The topic that is told what was shown."""

    bootstrap_servers: str
    topic: str = "events"
    settings: Mapping[str, str] = field(default_factory=dict)  # of librdkafka
    queue: int = 100_000  # messages that wait for the broker; beyond it they are dropped


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyOptions:
    """What decides the lists instead of the tower."""

    dials: "DecisionDials"
    snapshot: Path | None = None  # of `recbench policy learn`; None: scores are the tower's
    floor: "FloorDial | None" = None  # a least share of slots for some items


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOptions:
    """One service. Paths and texts only, so that workers can be told."""

    registry: Path
    release: str = "current"  # or the id of one, which then stays
    precision: str = "fp32"  # of the query tower: fp32, fp16 or int8
    ranker: bool = True  # whether a release's ranker orders lists, where it has one
    host: str = "127.0.0.1"
    port: int = 8080  # 0: any that is free
    workers: int = 1
    token: str | None = None  # what clients must show
    online: OnlinePlace | None = None
    exposures: ExposureLog | None = None
    limits: Limits = field(default_factory=Limits)
    exploration: "ExplorationBudget | None" = None  # what is left to chance; None: nothing
    policy: PolicyOptions | None = None  # None: the tower decides
    explore_off: Path | None = None  # a file there ends exploration, or the policy, at once
    look_s: float = 0.5  # between two looks at the registry's pointer
    # a core for each worker, if there are just as many: while niced work goes on, or real time
    bind_cores: bool = True
    real_time: bool = False  # whether workers answer at real-time priority while they can rest
    scratch: Path | None = None  # where workers share what they serve; None: each loads its own

    def __post_init__(self) -> None:
        """Refuse what would be open to everybody, or no service at all."""
        if self.workers < 1:
            raise InputError(f"`workers` must be at least 1, got {self.workers}")
        if self.policy is not None and self.exploration is not None:
            raise InputError(
                "`exploration` is of the tower's lists, and a policy has a budget of its own: "
                "leave one of them out"
            )
        if not 0 <= self.port < 1 << 16:
            raise InputError(f"`port` must lie in [0, 65536), got {self.port}")
        if self.host not in LOOPBACK and self.token is None:
            raise InputError(
                f"{self.host} is reached from other machines: give --token-file, or serve on "
                f"{LOOPBACK[0]}"
            )
        if self.token is not None and not (self.token.isascii() and self.token.isprintable()):
            raise InputError("The token must be printable ASCII, as it goes into a header")
