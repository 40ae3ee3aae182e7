"""The simulated world's speed, beside a plain loop that answers the same showings one by one."""

import math
import time
from dataclasses import replace

import numpy as np

from recbench.benchmarks.result import BenchResult, medians
from recbench.datasets.simulator import events_of
from recbench.datasets.world import closed_loop
from recbench.datasets.world.closed_loop import Shown
from recbench.datasets.world.noise import keyed_uniforms
from recbench.datasets.world.sampling import UniformPolicy
from recbench.datasets.world.settings import WorldSettings
from recbench.datasets.world.truth import CLICKS, World
from recbench.errors import InputError, JobError
from recbench.simulation.refreshing import QUARTERLY, RefreshedPolicy

__all__ = ["run"]

LEAST_USERS = 10
ONE_BY_ONE = 5_000  # showings that the plain loop answers
CLOSE = 1e-9


def run(*, runs: int = 3, events: int = 1_000_000, seed: int = 0) -> BenchResult:
    """Serve about ``events`` impressions, and a part of them again in a plain loop.

    ``impressions_per_minute``: from the drawing of the world to the canonical frame, under a policy
    that shows anything; ``learning_per_minute``: under one that scores all that is alive and is
    refreshed every 15 minutes. ``vs_one_by_one``: the first over a plain Python loop's truth and
    clicks of the same showings.

    Args:
        runs: how often.
        events: impressions of a day, about; a user has 381 of them, and there are at least ten.
        seed: of the worlds.

    Raises:
        InputError: ``runs`` or ``events`` below 1.
        JobError: the plain loop finds another truth or another click.
    """
    if min(runs, events) < 1:
        raise InputError(f"`runs` and `events` must be at least 1, got {runs} and {events}")
    plain = WorldSettings(days=1.0)
    n_users = round(events / (plain.requests_per_user_day * plain.slate))
    settings = replace(plain, n_users=max(LEAST_USERS, n_users))
    measured = []
    for number in range(runs):
        start, cpu = time.perf_counter(), time.process_time()
        world = World.drawn(settings, seed=seed + number)
        shown = closed_loop.run(world, UniformPolicy(seed=seed))
        n_events = len(events_of(shown, world))
        times = {"open_s": (time.perf_counter() - start) / n_events}
        times["open_cpu_s"] = (time.process_time() - cpu) / n_events
        start = time.perf_counter()
        learning = closed_loop.run(world, RefreshedPolicy(settings, QUARTERLY, seed=seed))
        times["learning_s"] = (time.perf_counter() - start) / len(learning)
        times["one_by_one_s"] = _one_by_one_s(world, shown)
        measured.append(times | {"impressions": float(n_events)})
    seconds = medians(measured, keys=("open_s", "open_cpu_s", "learning_s", "one_by_one_s"))
    figures = {
        "impressions_per_minute": 60 / seconds["open_s"],
        "impressions_per_cpu_minute": 60 / seconds["open_cpu_s"],
        "learning_per_minute": 60 / seconds["learning_s"],
        "vs_one_by_one": seconds["one_by_one_s"] / seconds["open_s"],
    }
    return BenchResult("world", figures, measured)


def _one_by_one_s(world: World, shown: Shown) -> float:
    """Seconds a showing; the first ones are answered, and must come out the same."""
    n = min(ONE_BY_ONE, len(shown))
    start = time.perf_counter()
    found = [_answered(world, shown, row) for row in range(n)]
    seconds = (time.perf_counter() - start) / n
    for row, (chance, clicked) in enumerate(found):
        there = float(shown.truth.click_probability[row])
        if abs(chance - there) > CLOSE or clicked != shown.clicked[row]:
            raise JobError(
                f"Showing {row}: one by one it is clicked with {chance}, in the world with {there}"
            )
    return seconds


def _answered(world: World, shown: Shown, row: int) -> tuple[float, bool]:
    """Truth and click of one showing, written out."""
    s, items, tastes = world.settings, world.items, world.tastes
    of = shown.exposures
    request, user, item = (int(x[row]) for x in (of.request_ids, of.user_ids, of.item_ids))
    hour, position = float(of.hours[row]), int(of.positions[row])
    category = int(items.category[item])
    waves = zip(tastes.frequencies[user, category], tastes.phases[user, category], strict=True)
    angles = [float(frequency) * hour + float(phase) for frequency, phase in waves]
    liking = sum(math.cos(angle) for angle in angles) * math.sqrt(2 / len(angles))
    mood = int(tastes.mood(np.array([user]), np.array([hour]))[0])
    age, half_life = hour - items.born_h[item], items.half_life_h[item]
    away = (hour - items.viral_h[item]) / (half_life / 4)
    logit = s.base_logit + world.readiness[user] + s.taste_gain * liking
    logit += s.mood_gain if mood == category else 0.0
    logit += items.appeal[item] - math.log(2) * age / half_life
    logit += s.viral_gain * math.exp(-0.5 * away * away)
    logit += s.social_gain * math.log1p(shown.clicks_of_late[row])
    chance = (position + 1) ** -s.attention / (1 + math.exp(-logit))
    luck = float(keyed_uniforms(world.seed, CLICKS, np.array([request]), np.array([item]))[0])
    return chance, luck < chance
