"""What workers cost over time: money, energy and carbon, each by the price of its hour."""

from dataclasses import dataclass, field

import numpy as np

from recbench.cluster.load_trace import HOUR_S, LoadTrace

__all__ = ["Bill"]


class _Hours:
    """The integral of what has one value an hour."""

    __slots__ = ("by_hour", "until")

    def __init__(self, by_hour: tuple[float, ...]) -> None:
        self.by_hour = by_hour
        self.until = [0.0, *np.cumsum(by_hour).tolist()]

    def between(self, begun_s: float, ended_s: float) -> float:
        return self._until(ended_s) - self._until(begun_s)

    def _until(self, time_s: float) -> float:
        whole = min(int(time_s / HOUR_S), len(self.by_hour) - 1)
        return float(self.until[whole] + (time_s / HOUR_S - whole) * self.by_hour[whole])


@dataclass(slots=True)
class Bill:
    """Adds up stretches of workers that are paid for, and of workers that are busy."""

    price: _Hours
    carbon: _Hours
    idle_w: float
    busy_w: float
    cost: float = 0.0
    carbon_kg: float = 0.0
    paid_s: float = field(default=0.0)
    busy_s: float = field(default=0.0)

    @classmethod
    def of(cls, trace: LoadTrace, *, idle_w: float, busy_w: float) -> "Bill":
        """By the prices of a trace; ``idle_w`` is drawn by any worker, ``busy_w`` by a busy one."""
        return cls(_Hours(trace.prices), _Hours(trace.carbon_g_per_kwh), idle_w, busy_w)

    def pay(self, begun_s: float, ended_s: float) -> None:
        """For a worker that was there."""
        self.paid_s += ended_s - begun_s
        self.cost += self.price.between(begun_s, ended_s)
        self.carbon_kg += self.carbon.between(begun_s, ended_s) * self.idle_w / 1e6

    def work(self, begun_s: float, ended_s: float, *, n_workers: int) -> None:
        """For workers that were busy, beside what is paid for their being there."""
        self.busy_s += (ended_s - begun_s) * n_workers
        extra_w = (self.busy_w - self.idle_w) * n_workers
        self.carbon_kg += self.carbon.between(begun_s, ended_s) * extra_w / 1e6

    @property
    def kwh(self) -> float:
        """Drawn by all of them."""
        joules = self.paid_s * self.idle_w + self.busy_s * (self.busy_w - self.idle_w)
        return joules / 3.6e6
