"""A log of the simulated world that other policies can be judged by, and policies learnt from.

Hours [0, 24): anything is shown, evenly; towers are trained on it. [24, 48): the towers' candidates
are shown by declared chances. What is learnt for judging comes from the first half of that, what is
judged from the second.
"""

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.datasets.simulator import events_of, items_of
from recbench.datasets.world.closed_loop import Shown, run
from recbench.datasets.world.protocol import Asked, Feedback, Slates
from recbench.datasets.world.sampling import UniformPolicy
from recbench.datasets.world.settings import WorldSettings
from recbench.datasets.world.truth import World
from recbench.errors import InputError
from recbench.jobs.build import Cut, fit_two_tower
from recbench.policy.world.bandit import BanditDials, BanditInWorld
from recbench.policy.world.context import WorldContext
from recbench.policy.world.drawn import DrawnPolicy, Switched
from recbench.policy.world.retrieval import Pool, TowerRetrieval
from recbench.settings import Experiment, TowerSettings
from recbench.tables.log import EventLog

__all__ = ["END_H", "LOGGED_H", "TRAINED_H", "PolicyLog", "world_of"]

Floats = npt.NDArray[np.float64]
TRAINED_H, LEARNT_H, LOGGED_H, END_H = 24.0, 36.0, 48.0, 72.0
HOUR_US = 3_600_000_000
HALF_LIFE_S = 6 * 3600.0
HORIZON_US = 6 * HOUR_US


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A tick of the half of the log that policies are judged by."""

    asked: Asked
    pool: Pool
    chances: Floats  # (R, C) of the logging policy


class _LoggingPolicy(DrawnPolicy):
    """Draws, keeps what it was asked, and has a bandit look on until the log is judged by."""

    def __init__(
        self, context: WorldContext, *, temperature: float, even: float, seed: int
    ) -> None:
        super().__init__(context.retrieval, temperature=temperature, even=even, seed=seed)
        self.judged: list[Judged] = []
        self._watching = BanditInWorld(
            context, BanditDials(rule="greedy"), learn_from_h=TRAINED_H, seed=seed
        )
        self.learnt: BanditInWorld | None = None

    def observe(self, feedback: Feedback) -> None:
        super().observe(feedback)
        self._watching.observe(feedback)
        if self.learnt is not None:
            self.learnt.context.meet(feedback.new_items)  # it must know what it scores
        if self.learnt is None and feedback.until_h >= LEARNT_H:
            self.learnt = deepcopy(self._watching)

    def slates(self, asked: Asked) -> Slates:
        if self.learnt is not None:
            pool = self.retrieval.pool(asked, self.n_candidates)
            self.judged.append(Judged(asked, pool, self.chances(asked, pool)))
        return super().slates(asked)


@dataclass(frozen=True, slots=True, eq=False)
class PolicyLog:
    """The world, what was shown in it in 48 hours, and what was made of that."""

    world: World
    shown: Shown
    judged: list[Judged]
    learnt: BanditInWorld  # as of the middle of the second day; greedy, and it learns no more
    temperature: float  # of the logging policy
    even: float
    towers: tuple[Floats, Floats, npt.NDArray[np.int64]]  # queries, candidates, categories
    seed: int
    tick_s: float

    @classmethod
    def made(
        cls,
        world: World,
        *,
        steps: int = 300,
        embedding_dim: int = 32,
        temperature: float = 0.3,
        even: float = 0.2,
        tick_s: float = 300.0,
        seed: int = 0,
    ) -> "PolicyLog":
        """Two days of the world, with towers trained after the first.

        Args:
            world: of one item a request.
            steps: of the training.
            embedding_dim: of the towers.
            temperature: of the logging policy's scores.
            even: the share of its chances that all candidates have alike.
            tick_s: seconds between two looks of a policy at what became known.
            seed: of training and policies.

        Raises:
            InputError: requests are shown more than one item.
        """
        if world.settings.slate != 1:
            raise InputError(
                f"Policies are judged here by requests of one item, got {world.settings.slate}"
            )
        first_day = run(world, UniformPolicy(seed=seed), tick_s=tick_s, until_h=TRAINED_H)
        towers = _towers(world, first_day, steps=steps, embedding_dim=embedding_dim, seed=seed)
        logging = _LoggingPolicy(
            WorldContext(TowerRetrieval(*towers)), temperature=temperature, even=even, seed=seed
        )
        both_days = Switched(UniformPolicy(seed=seed), (TRAINED_H, lambda: logging))
        shown = run(world, both_days, tick_s=tick_s, until_h=LOGGED_H)
        assert logging.learnt is not None
        return cls(
            world, shown, logging.judged, logging.learnt, temperature, even, towers, seed, tick_s
        )

    def retrieval(self) -> TowerRetrieval:
        """Of the towers, knowing what was known when they were trained."""
        return TowerRetrieval(*self.towers)

    def logging(self) -> DrawnPolicy:
        """The policy of the second day, to be run again."""
        return DrawnPolicy(
            self.retrieval(), temperature=self.temperature, even=self.even, seed=self.seed
        )

    def events(self) -> pl.DataFrame:
        """Canonical, of both days."""
        return events_of(self.shown, self.world)


def world_of(*, n_users: int, n_live: int, requests: float, seed: int, delay_s: float) -> World:
    """A world of three days, of one item a request, in which what was shown changes no taste.

    Args:
        n_users: users.
        n_live: items alive at a time.
        requests: a user and day.
        seed: of the world.
        delay_s: mean seconds from a showing until its click is known.
    """
    settings = WorldSettings(
        days=END_H / 24,
        n_users=n_users,
        n_live=n_live,
        slate=1,
        requests_per_user_day=requests,
        social_gain=0.0,
        label_delay_s=delay_s,
    )
    return World.drawn(settings, seed=seed)


def _towers(
    world: World, first_day: Shown, *, steps: int, embedding_dim: int, seed: int
) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
    """Embeddings of all users and of the items born by then, by the usual training."""
    events = events_of(first_day, world).sort(c.TS, maintain_order=True)
    n_born = int(np.searchsorted(world.items.born_h, TRAINED_H))
    items = items_of(world).head(n_born)
    log = EventLog("simulated", "impressions", events, items, version=0)
    at = int(events[c.TS].dt.epoch("us").max()) + 1  # type: ignore[arg-type]  # a number
    sizes = TowerSettings(embedding_dim=embedding_dim)
    fitted = fit_two_tower(
        log,
        events,
        Cut(at=at, horizon_us=HORIZON_US, half_life_s=HALF_LIFE_S),
        experiment=Experiment(towers=sizes, seed=seed),
        steps=steps,
    )
    users = np.arange(world.settings.n_users)
    queries = fitted.model.query_embeddings(fitted.log.queries(users, at))
    rows = fitted.model.items.rows(pl.Series(np.arange(n_born)))
    candidates = fitted.model.candidate_embeddings[rows]
    return (
        queries.astype(np.float64),
        candidates.astype(np.float64),
        world.items.category[:n_born],
    )
