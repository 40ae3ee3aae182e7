"""From settings to what a refresh learns and where its log ends."""

from datetime import UTC, datetime

from recbench.errors import InputError
from recbench.features.shipped import DEFAULT_WINDOW_FEATURES
from recbench.refresh.advance import UpdatePlan
from recbench.refresh.update import Rates
from recbench.settings import Experiment, RefreshSettings
from recbench.tables.lake_log import LakeLog
from recbench.tables.log import Protocol
from recbench.training.objective import Objective, StepLoss
from recbench.training.policy_gradient import Reinforce

__all__ = ["instant_of", "plan_of"]


def plan_of(experiment: Experiment, settings: RefreshSettings, *, protocol: Protocol) -> UpdatePlan:
    """How much a refresh learns, by the dials of the full fit and its own."""
    training = experiment.training
    return UpdatePlan(
        protocol=protocol,
        window_features=DEFAULT_WINDOW_FEATURES,
        history_length=experiment.features.history_length,
        steps=settings.steps,
        seconds=settings.seconds,
        batch_size=training.batch_size,
        n_uniform=training.n_uniform,
        id_dropout=training.id_dropout,
        n_replay=settings.n_replay,
        rates=Rates(dense=settings.dense_rate, tables=settings.rate, router=settings.router_rate),
        objective=_objective(experiment, settings),
        seed=experiment.seed,
    )


def _objective(experiment: Experiment, settings: RefreshSettings) -> StepLoss:
    training = experiment.training
    if settings.objective == "reinforce":
        return Reinforce(
            slate=settings.slate,
            cap=settings.weight_cap,
            watch_share=min(1.0, training.watch_weight),
            parent_weight=settings.parent_weight,
        )
    return Objective(
        loss=training.loss,
        watch_weight=training.watch_weight,
        parent_weight=settings.parent_weight,
    )


def instant_of(log: LakeLog, text: str) -> int | None:
    """Where a log is to end, microseconds since the epoch; None for an empty text.

    Args:
        log: what shares are of.
        text: a share such as ``"0.99"``, or a time in ISO 8601.

    Raises:
        InputError: neither.
    """
    if not text:
        return None
    try:
        share = float(text)
    except ValueError:
        try:
            at = datetime.fromisoformat(text)
        except ValueError as error:
            raise InputError(
                f"`until` must be a share of the log such as 0.99, or a time in ISO 8601: {text!r}"
            ) from error
        return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1e6)
    if not 0 < share <= 1:
        raise InputError(f"`until` must be a share in (0, 1] or a time, got {text!r}")
    return log.instant_at(share) if share < 1 else None
