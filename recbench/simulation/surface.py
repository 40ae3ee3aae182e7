"""What a fresher policy is worth, by how fast tastes and items change and how late labels come."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import numpy as np
import polars as pl

from recbench.datasets.world.settings import WorldSettings
from recbench.errors import InputError
from recbench.simulation.effects import relative_effect
from recbench.simulation.twins import METRICS, TwinPlan, twins

__all__ = ["ARTICLE", "DIALS", "Grid", "crossings", "surface", "uplifts"]

# what the article that started this project reports of 15-minute instead of daily refreshes
ARTICLE = {"click_rate": 0.173, "watch_s": 0.22}
DIALS = ("taste_half_life_h", "item_half_life_h", "label_delay_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The worlds of a surface: every combination."""

    taste_half_life_h: tuple[float, ...] = (6.0, 24.0, 96.0)
    item_half_life_h: tuple[float, ...] = (12.0, 24.0, 48.0, 96.0, 192.0)
    label_delay_s: tuple[float, ...] = (0.0, 3_600.0)

    def cells(self) -> list[dict[str, float]]:
        """The dials of each world."""
        values = product(*(getattr(self, name) for name in DIALS))
        return [dict(zip(DIALS, found, strict=True)) for found in values]


def surface(
    settings: WorldSettings,
    plan: TwinPlan,
    grid: Grid,
    *,
    seeds: Sequence[int],
    across: Callable[..., Iterable[pl.DataFrame]] = map,
) -> pl.DataFrame:
    """``twins`` in every world of the grid, with columns for the dials.

    Args:
        settings: whatever the grid does not say.
        plan: the arms, the warm-up.
        grid: of worlds.
        seeds: the same in every cell, so that neighbours differ by their dials alone.
        across: as ``map``; that of a pool of processes runs cells beside each other.
    """
    cell = partial(_cell, settings, plan, tuple(seeds))
    return pl.concat(across(cell, grid.cells()))


def _cell(
    settings: WorldSettings, plan: TwinPlan, seeds: tuple[int, ...], dials: dict[str, float]
) -> pl.DataFrame:
    found = twins(replace(settings, **dials), plan, seeds=seeds)  # type: ignore[arg-type]  # floats
    return found.with_columns(pl.lit(dials[name]).alias(name) for name in DIALS)


def uplifts(found: pl.DataFrame, plan: TwinPlan) -> pl.DataFrame:
    """A row a world: the dials, and each metric's relative effect with ``_low`` and ``_high``.

    Args:
        found: of ``surface``.
        plan: that it followed.
    """
    control, treatment = (arm.name for arm in plan.arms)
    rows = []
    for dials, cell in found.group_by(DIALS, maintain_order=True):
        row = dict(zip(DIALS, dials, strict=True))
        for metric in METRICS:
            wide = cell.pivot("arm", index="seed", values=metric)
            effect = relative_effect(wide[treatment].to_numpy(), wide[control].to_numpy())
            row |= {
                metric: effect.value,
                f"{metric}_low": effect.low,
                f"{metric}_high": effect.high,
            }
        rows.append(row)
    return pl.DataFrame(rows)


def crossings(table: pl.DataFrame, *, metric: str, level: float) -> pl.DataFrame:
    """The item half-life at which the uplift is ``level``, for each taste and delay.

    ``taste_half_life_h, label_delay_s, item_half_life_h, low, high``: between neighbours of the
    grid, linear in the logarithm of the half-life; ``low`` and ``high`` are where the bounds of the
    uplift's interval cross. Null where the grid does not reach it.

    Raises:
        InputError: no such metric.
    """
    if metric not in METRICS:
        raise InputError(f"`metric` must be one of {METRICS}, got {metric!r}")
    rows = []
    dials = ["taste_half_life_h", "label_delay_s"]
    for (taste, delay), line in table.sort("item_half_life_h").group_by(dials, maintain_order=True):
        at = np.log(line["item_half_life_h"].to_numpy())
        found = {
            name: _crossing(at, line[column].to_numpy(), level)
            for name, column in (
                ("item_half_life_h", metric),
                ("low", f"{metric}_low"),
                ("high", f"{metric}_high"),
            )
        }
        rows.append({"taste_half_life_h": taste, "label_delay_s": delay, **found})
    dtypes = dict.fromkeys((*dials, "item_half_life_h", "low", "high"), pl.Float64)
    return pl.DataFrame(rows, schema=dtypes).sort(dials)


def _crossing(
    at: "np.typing.NDArray[np.float64]", values: "np.typing.NDArray[np.float64]", level: float
) -> float | None:
    """The first place from the right at which the values come down to the level."""
    above = np.flatnonzero((values[:-1] >= level) & (values[1:] < level))
    if not len(above):
        return None
    left = above[-1]
    share = (values[left] - level) / (values[left] - values[left + 1])
    return float(np.exp(at[left] + share * (at[left + 1] - at[left])))
