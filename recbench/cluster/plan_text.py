"""The capacity plan in words: what ``environments/SCALE.md`` holds."""

from collections.abc import Sequence
from dataclasses import fields

from recbench.cluster.plan import Assumptions, StagePlan, World, capacity_plan, totals
from recbench.cluster.unit_costs import UnitCosts

__all__ = ["plan_markdown"]

FACTORS = (1, 10, 100)
COMMAND = "recbench cluster plan --markdown environments/SCALE.md"

HEAD = """# Beyond one cluster

What {users:,.0f} million users, {items:,.0f} million items and {events:g} million events a second
would take, as far as unit costs that were measured on two cores can tell. Nothing here was run at
that size. This file is written by `{command}`;
`--costs FOLDER` takes the unit costs from your own `recbench bench NAME --json FOLDER/NAME.json`.

A **bottleneck** is what the design as it is has least of: 1 means used up, and something else takes
over from there. Machines have {threads} threads and {memory:.0f} GB; one that is needed for its
memory is paid for all the same."""

COSTS = """## Unit costs

Measured by the command beside each, on the machine and day beside it; shared cores measure too dear
rather than too cheap."""

ASSUMED = """## Stated, not measured

Change them in `recbench.cluster.plan.Assumptions`. Of energy, the machines' own is counted, at the
watts of `recbench.cluster.energy`, not cooling, network or storage."""

READING = """## How to read it

- Threads, memory and storage grow in proportion, except a search, which grows with the square root
  of the catalogue: cells grow with the root, and with them what lies in a cell.
- At 1x what gives way is one process today, and is cut by hash of the user or by rows, which the
  design already has: partitions, ranks, features by hash. Only the ids of a day ask for another
  engine.
- At 10x other engines carry the state: Flink for ids and windows, Redis Cluster for users, an index
  by shards.
- At 100x everything is by shards and regions, and each region is a 1x to 10x plan of its own: users
  do not cross regions within a session, so only items and models are exchanged. The money for
  serving says so, too: a copy of the whole index in every machine is what nobody would build."""

HEADER = (
    "| stage | threads | memory, GB | machines | money a day | kWh a day | first bottleneck |",
    "| --- | --- | --- | --- | --- | --- | --- |",
)


def plan_markdown(world: World, costs: UnitCosts, assumed: Assumptions) -> str:
    """The whole text, a section for each multiple of ``world``."""
    head = HEAD.format(
        users=world.users / 1e6,
        items=world.items / 1e6,
        events=world.events_per_s / 1e6,
        threads=assumed.threads,
        memory=assumed.memory_bytes / 1e9,
        command=COMMAND,
    )
    parts = [head]
    for factor in FACTORS:
        parts.append(_section(factor, capacity_plan(world.times(factor), costs, assumed)))
    parts += [READING, COSTS, _costs(costs), ASSUMED, _assumed(world, assumed)]
    return "\n\n".join(parts) + "\n"


def _section(factor: int, plans: Sequence[StagePlan]) -> str:
    rows = list(HEADER)
    for plan in plans:
        rows.append(
            f"| {plan.stage} | {_number(plan.threads)} | {_number(plan.memory_bytes / 1e9)} | "
            f"{plan.machines:,} | {_number(plan.money_per_day)} | {_number(plan.kwh_per_day)} | "
            f"{plan.bottlenecks[0].what}: {_number(plan.bottlenecks[0].used)} |"
        )
    whole = totals(plans)
    rows.append(
        f"| **together** | | | **{whole['machines']:,.0f}** | "
        f"**{_number(whole['money_per_day'])}** | **{_number(whole['kwh_per_day'])}** | |"
    )
    changes = [
        f"- **{plan.stage}**, {limit.what} ({_number(limit.used)}): {limit.then}."
        for plan in plans
        for limit in plan.bottlenecks
        if limit.used > 1
    ]
    taken = "What changes, where a bottleneck is above 1:\n\n" + "\n".join(changes)
    stored = f"Kept in the lake and the broker: {whole['storage_bytes'] / 1e12:,.0f} TB."
    return "\n\n".join([f"## {factor}x", "\n".join(rows), stored, taken])


def _costs(costs: UnitCosts) -> str:
    rows = ["| cost | value | unit | by | on | date |", "| --- | --- | --- | --- | --- | --- |"]
    for name, cost in costs:
        rows.append(
            f"| {name} | {cost.value:g} | {cost.unit} | `{cost.command}` | {cost.machine} | "
            f"{cost.date} |"
        )
    return "\n".join(rows)


def _assumed(world: World, assumed: Assumptions) -> str:
    rows = ["| what | value |", "| --- | --- |"]
    rows.append(f"| requests_per_s | {world.requests_per_s:g} |")
    rows += [f"| {part.name} | {getattr(assumed, part.name):g} |" for part in fields(assumed)]
    return "\n".join(rows)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
