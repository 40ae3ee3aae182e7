"""What somebody who runs recbench on Kubernetes sets; everything else follows from it."""

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from recbench import __version__
from recbench.cluster.kubernetes.spelling import (
    Image,
    check_amount,
    check_name,
    check_schedule,
    check_time_zone,
)
from recbench.errors import InputError

__all__ = ["Device", "KubernetesSettings", "Rule"]

Device = Literal["cpu", "gpu"]
Rule = Literal["deadlines", "dask"]
LONGEST_CLUSTER_NAME = 53  # the operator appends `-scheduler`


def _dial(default: Any, meaning: str) -> Any:
    return field(default=default, metadata={"help": meaning})


@dataclass(frozen=True, kw_only=True, slots=True)
class KubernetesSettings:
    """Names, sizes and times of a deployment.

    Amounts are Kubernetes' own: ``"4"`` or ``"500m"`` cores, ``"16Gi"`` bytes.

    Raises:
        InputError: a name, amount, schedule, time zone or image that Kubernetes would not take, or
            numbers of workers that contradict each other.
    """

    image: str = _dial(
        f"recbench:{__version__}", "Name and tag; -serve, -jobs and -gpu are appended to the name."
    )
    namespace: str = _dial("recbench", "Where everything lives.")
    name: str = _dial("recbench", "Of the Dask cluster.")
    minimum: int = _dial(2, "Workers that are always there.")
    maximum: int = _dial(64, "Workers that there may be.")
    scaled: Device = field(
        default="cpu",
        metadata={"help": "Which workers the autoscaler adds.", "choices": get_args(Device)},
    )
    rule: Rule = field(
        default="deadlines",
        metadata={
            "help": "How many it adds: by our policy, or by Dask's own rule.",
            "choices": get_args(Rule),
        },
    )
    tariff: str = _dial(
        "",
        "Table below the workspace with price, carbon and power by the hour, for the rule "
        "deadlines; empty: all hours are alike.",
    )
    other_workers: int = _dial(0, "Workers of the other kind; nobody scales them.")
    worker_cpu: str = _dial("4", "Cores of a CPU worker.")
    worker_memory: str = _dial("16Gi", "Memory of a CPU worker.")
    gpu_worker_cpu: str = _dial("8", "Cores of a worker with one GPU.")
    gpu_worker_memory: str = _dial("32Gi", "Memory of a worker with one GPU.")
    table: str = _dial("lake/events/events", "Delta table below the workspace that jobs read.")
    refresh: str = _dial("*/15 * * * *", "When refreshes start, as cron says it.")
    refresh_deadline_s: int = _dial(840, "Seconds after which a refresh is ended.")
    rebuild: str = _dial("0 2 * * *", "When rebuilds start, as cron says it.")
    rebuild_deadline_s: int = _dial(14_400, "Seconds after which a rebuild is ended.")
    time_zone: str = _dial("Etc/UTC", "Of the schedules.")
    claim: str = _dial("recbench-workspace", "The claim that holds lake, registry and runs.")
    storage: str = _dial("200Gi", "What the claim asks for.")
    storage_class: str = _dial("", "Of the claim; empty: the cluster's default.")
    token_secret: str = _dial("recbench-token", "Secret with the service's `token`.")
    wandb_secret: str = _dial("", "Secret with `api-key` for W&B; empty: runs stay offline.")
    operator_namespace: str = _dial("dask-operator", "Where Dask's operator runs.")

    def __post_init__(self) -> None:
        Image.of(self.image)
        check_name("name", self.name, longest=LONGEST_CLUSTER_NAME)
        for what in ("namespace", "claim", "token_secret", "operator_namespace"):
            check_name(what, getattr(self, what))
        for what in ("storage_class", "wandb_secret"):
            if getattr(self, what):
                check_name(what, getattr(self, what))
        for what in ("worker", "gpu_worker"):
            check_amount(f"{what}_cpu", getattr(self, f"{what}_cpu"), unit="cpu")
            check_amount(f"{what}_memory", getattr(self, f"{what}_memory"), unit="bytes")
        check_amount("storage", self.storage, unit="bytes")
        for what in ("refresh", "rebuild"):
            check_schedule(what, getattr(self, what))
        check_time_zone("time_zone", self.time_zone)
        self._check_numbers()

    def _check_numbers(self) -> None:
        if not 1 <= self.minimum <= self.maximum:
            raise InputError(
                "`minimum` and `maximum` must be 1 <= minimum <= maximum, "
                f"got {self.minimum} and {self.maximum}"
            )
        if self.other_workers < 0:
            raise InputError(f"`other_workers` must be 0 or more, got {self.other_workers}")
        if self.scaled not in get_args(Device):
            raise InputError(f"`scaled` must be cpu or gpu, got {self.scaled!r}")
        if self.rule not in get_args(Rule):
            raise InputError(f"`rule` must be deadlines or dask, got {self.rule!r}")
        for what in ("refresh_deadline_s", "rebuild_deadline_s"):
            if getattr(self, what) < 1:
                raise InputError(f"`{what}` must be at least 1 second, got {getattr(self, what)}")
        if self.tariff and self.rule != "deadlines":
            raise InputError(f"`tariff` is for the rule deadlines, got {self.rule}")
        for what in ("table", "tariff"):
            path = getattr(self, what)
            if path.startswith("/") or ".." in path.split("/"):
                raise InputError(f"`{what}` must lie below the workspace, got {path!r}")

    def image_for(self, role: Literal["serve", "jobs", "gpu"]) -> str:
        """The image of the service, of jobs and CPU workers, or of GPU workers."""
        return Image.of(self.image).for_role(role)

    @property
    def scheduler_address(self) -> str:
        """Where pods of the same Kubernetes cluster find the scheduler."""
        return f"tcp://{self.name}-scheduler.{self.namespace}.svc:8786"
