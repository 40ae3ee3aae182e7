"""The least that a day can cost: a linear program that knows everything, and may cut workers up.

It is a bound below every policy, not a policy. Time is cut into slots. In each slot a whole or
broken number of workers is there; work of each kind is a fluid that can be done from the slot in
which it came to the slot in which it is due, by any number of workers. Each rise in the number of
workers pays for that many starts, at the cheapest price of the day. No worker is lost, none is
kept warm. Whatever a real policy does also satisfies these constraints and pays at least as much:
its average number of working workers in a slot does no more work than is there, rises no more often
than it starts workers, and every worker-second is paid at its hour's price.
"""

import math
from collections import defaultdict
from typing import Any

import numpy as np
import numpy.typing as npt

from recbench.cluster.load_trace import HOUR_S, LoadTrace
from recbench.errors import JobError

__all__ = ["least_cost"]

Floats = npt.NDArray[np.float64]


def least_cost(trace: LoadTrace, *, startup_s: float, slot_s: float = 300.0) -> float:
    """Money below which no policy can do all of the trace's jobs in time.

    Args:
        trace: jobs and prices.
        startup_s: that each start is paid for at the least before the worker works.
        slot_s: shorter slots bound more tightly and take longer; divides an hour.

    Raises:
        JobError: the solver found no solution, which would be a mistake in the program.
    """
    from scipy.optimize import linprog
    from scipy.sparse import block_array, csr_array, eye_array

    n = math.ceil(trace.end_s / slot_s)
    kinds = _kinds(trace, n, slot_s)
    price = np.array([trace.prices[int(slot * slot_s / HOUR_S)] for slot in range(n)])
    # variables: workers by slot (n), rises by slot (n), work done until each slot's end by kind
    n_kinds = len(kinds)
    start = np.full(n, startup_s / HOUR_S * price.min())
    cost = np.concatenate([price * slot_s / HOUR_S, start, np.zeros(n * n_kinds)])
    step = csr_array(eye_array(n) - eye_array(n, k=-1))  # of a running sum, by slot
    none = csr_array((n, n))
    done = [step] * n_kinds
    rows: list[list[Any]] = [
        [-slot_s * eye_array(n), none, *done],  # work of a slot <= its workers
        [step, -eye_array(n), *[none] * n_kinds],  # rise of the workers <= starts
    ]
    for number in range(n_kinds):  # no work is undone
        ours = [-step if number == other else none for other in range(n_kinds)]
        rows.append([none, none, *ours])
    matrix = block_array(rows, format="csr")
    bounds = [(0, None)] * (2 * n)
    for due, come in kinds:
        bounds += list(zip(due.tolist(), come.tolist(), strict=True))
    zeros = np.zeros(matrix.shape[0])
    found: Any = linprog(  # type: ignore[call-overload]  # the stubs know no sparse matrix
        cost, A_ub=matrix, b_ub=zeros, bounds=bounds, method="highs"
    )
    if not found.success or found.fun is None:
        raise JobError(f"The bound for `{trace.name}` was not found: {found.message}")
    return float(found.fun)


def _kinds(trace: LoadTrace, n: int, slot_s: float) -> list[tuple[Floats, Floats]]:
    """Of each kind of job, work that is due by each slot's end, and that has come by then."""
    found: dict[str, tuple[Floats, Floats]] = defaultdict(lambda: (np.zeros(n), np.zeros(n)))
    for job in trace.jobs:
        due, come = found[job.kind]
        come[int(job.arrival_s / slot_s)] += job.work_s
        due[math.ceil(job.due_s / slot_s) - 1] += job.work_s
    return [(np.cumsum(due), np.cumsum(come)) for due, come in found.values()]
