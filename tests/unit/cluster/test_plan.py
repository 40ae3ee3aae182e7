import json
from pathlib import Path

import pytest

from recbench.cluster.plan import Assumptions, World, capacity_plan, totals
from recbench.cluster.plan_text import plan_markdown
from recbench.cluster.unit_costs import UnitCosts
from recbench.errors import InputError

SCALE = Path(__file__).parents[3] / "environments" / "SCALE.md"
COSTS, ASSUMED = UnitCosts.shipped(), Assumptions()


def stage(name, world=None):
    plans = capacity_plan(world or World(), COSTS, ASSUMED)
    return next(plan for plan in plans if plan.stage == name)


def test_the_text_that_is_kept_is_what_the_command_writes():
    assert SCALE.read_text(encoding="utf-8") == plan_markdown(World(), COSTS, ASSUMED)


def test_ingest_by_hand():
    found = stage("ingest")

    # 1e6 / 131,500 threads, six tenths of each busy
    assert found.threads == pytest.approx(1e6 / 131_500 / 0.6)
    # the ids of a day: half a million a second, 24 bytes each; in machines of 256 GB
    assert found.memory_bytes == pytest.approx(0.5e6 * 86_400 * 24)
    assert found.machines == 5


def test_money_is_machines_and_storage_by_hand():
    found = stage("ingest")
    # 90 days of half a million events a second, 8.9 bytes each, at .023 a GB and month
    stored = 0.5e6 * 86_400 * 90 * 8.9 / 1e9 * 0.023 / 30.4

    assert found.money_per_day == pytest.approx(5 * 3 * 24 + stored)


def test_energy_is_what_idle_threads_draw_and_busy_ones_more_by_hand():
    found = stage("online state")
    busy = 1e6 / 50_400
    watts = 64 * 0.74 + busy * 0.5 * (3.5 - 0.74)

    assert found.machines == 1
    assert found.kwh_per_day == pytest.approx(watts * 24 / 1000)


def test_the_first_bottleneck_is_the_most_used_one():
    for plan in capacity_plan(World(), COSTS, ASSUMED):
        used = [limit.used for limit in plan.bottlenecks]
        assert used == sorted(used, reverse=True)


def test_another_engine_takes_over_as_it_grows():
    said = [stage("online state", World().times(f)).bottlenecks[0].then for f in (1, 10)]

    assert said[0] == "one follower for each group of partitions"
    assert said[1].startswith("Flink")


def test_ten_times_the_world_takes_ten_times_the_events_but_searches_grow_less():
    one, ten = World(), World().times(10)

    assert stage("ingest", ten).threads == pytest.approx(10 * stage("ingest", one).threads)
    # ten times the requests, and each between 1 and the root of 10 times as dear
    ratio = stage("serving", ten).threads / stage("serving", one).threads
    assert 10 < ratio < 10 * 10**0.5


def test_all_stages_together_are_their_sum():
    plans = capacity_plan(World(), COSTS, ASSUMED)

    assert totals(plans)["machines"] == sum(plan.machines for plan in plans)


def bench_file(folder, name, figures):
    payload = {"bench": name, "machine": {"cores": 4, "cpu": "a CPU"}, "figures": figures}
    (folder / f"{name}.json").write_text(json.dumps(payload))


def test_unit_costs_come_from_the_files_of_benches(tmp_path):
    bench_file(tmp_path, "ingest", {"events_per_s": 800_000})
    bench_file(tmp_path, "serve", {"cpu_ms_per_request": 0.4})
    bench_file(tmp_path, "train", {"examples_per_s": 1.0})  # without the peers' environment
    (tmp_path / "other.json").write_text("[1]")
    costs = COSTS.with_benches(tmp_path, date="2026-01-01")

    assert costs["ingest_events_per_thread_s"] == 200_000
    assert costs["request_cpu_s"] == pytest.approx(0.0004)
    assert costs["train_positions_per_thread_s"] == COSTS["train_positions_per_thread_s"]
    assert costs.by_name["request_cpu_s"].machine == "4 cores of a CPU"


def test_a_folder_without_benches_is_named(tmp_path):
    with pytest.raises(InputError, match=f"`{tmp_path}` holds no figures of features"):
        COSTS.with_benches(tmp_path, date="2026-01-01")


def test_a_world_of_nobody_is_refused():
    with pytest.raises(InputError, match="`users` must be positive, got 0"):
        World(users=0)


def test_a_small_world_has_one_whole_ingester_for_its_ids():
    found = stage("ingest", World(events_per_s=1e4))
    (ids,) = [limit for limit in found.bottlenecks if limit.what.startswith("ids of a day")]
    # 5,000 events a second, 86,400 s, 24 bytes each, in 8 GB
    assert ids.used == pytest.approx(5e3 * 86_400 * 24 / 8e9)
