import types

import pytest

from recbench.cluster.carbon import CARBON_G_PER_KWH, carbon_kg
from recbench.cluster.energy import (
    BUSY_THREAD_W,
    WorkerJoules,
    joules_per_hundredth,
    open_meter,
)
from recbench.errors import InputError


def zone(root, number, name, energy_uj, range_uj=1_000_000_000):
    folder = root / f"intel-rapl:{number}"
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    (folder / "max_energy_range_uj").write_text(f"{range_uj}\n")
    return folder


class FakeNvmlError(Exception):
    pass


def fake_nvml(*millijoules):
    """A module like pynvml, with GPUs whose counters can be moved; no real GPU is asked."""
    held = list(millijoules)

    def energy(device):
        if held[device] is None:
            raise FakeNvmlError("Not Supported")
        return held[device]

    return types.SimpleNamespace(
        held=held,
        NVMLError=FakeNvmlError,
        nvmlDeviceGetCount=lambda: len(held),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetTotalEnergyConsumption=energy,
    )


def test_rapl_counts_packages_and_memory_but_no_part_twice(tmp_path):
    # a fake tree of sysfs: cores lie within their package, psys around all of it
    package, core = zone(tmp_path, "0", "package-0", 100), zone(tmp_path, "0:0", "core", 100)
    dram, psys = zone(tmp_path, "0:1", "dram", 7), zone(tmp_path, "1", "psys", 0)
    meter = open_meter(powercap=tmp_path, nvml=fake_nvml())
    for folder, value in (
        (package, 5_000_100),
        (core, 4_000_100),
        (dram, 1_000_007),
        (psys, 9_000_000),
    ):
        (folder / "energy_uj").write_text(str(value))

    assert meter() == pytest.approx(6.0)
    assert meter.source == "RAPL + NVML"


def test_a_counter_that_begins_again_is_counted_on(tmp_path):
    package = zone(tmp_path, "0", "package-0", 900_000, range_uj=999_999)
    meter = open_meter(powercap=tmp_path, nvml=fake_nvml())
    (package / "energy_uj").write_text("100000")

    assert meter() == pytest.approx(0.2)  # 100,000 to the end, 100,000 from zero
    assert meter() == pytest.approx(0.2)


def test_nvml_counts_every_gpu_since_the_meter_was_opened(tmp_path):
    nvml = fake_nvml(5_000, 1_000)
    meter = open_meter(powercap=tmp_path, nvml=nvml, cpu_seconds=lambda: 0.0)
    nvml.held[:] = [8_000, 1_500]

    assert meter() == pytest.approx(3.5)
    assert "NVML" in meter.source


def test_a_gpu_without_a_counter_is_named(tmp_path):
    with pytest.raises(InputError, match="GPU 1 does not count its energy: Not Supported"):
        open_meter(powercap=tmp_path, nvml=fake_nvml(1, None))


def test_without_counters_the_model_says_so(tmp_path):
    spent = [10.0]
    meter = open_meter(powercap=tmp_path, cpu_seconds=lambda: spent[0])
    spent[0] = 14.0

    assert meter() == pytest.approx(4 * BUSY_THREAD_W)
    assert meter.source.startswith("model, 3.5 W a busy thread")


def test_only_a_counter_of_the_processors_sees_the_whole_machine(tmp_path):
    assert not open_meter(powercap=tmp_path, nvml=fake_nvml(1)).counts_machine
    zone(tmp_path, "0", "package-0", 0)
    assert open_meter(powercap=tmp_path).counts_machine


def test_a_worker_has_its_share_of_what_the_machine_drew(tmp_path):
    package = zone(tmp_path, "0", "package-0", 0)
    worker, busy = WorkerJoules.here(powercap=tmp_path), [0.0]
    worker.busy_s, worker.before = lambda: busy[0], (0.0, 0.0)
    (package / "energy_uj").write_text("80000000")
    busy[0] = 8.0

    assert worker.source == "RAPL, by share of CPU time"
    assert worker.cpu(2.0) == pytest.approx(20.0)  # 80 J for 8 busy seconds, 2 of them ours
    assert worker.cpu(1.0) == pytest.approx(10.0)  # nothing new was seen


def test_a_worker_without_a_counter_has_the_model(tmp_path):
    worker = WorkerJoules.here(powercap=tmp_path)

    assert worker.cpu(2.0) == 2 * BUSY_THREAD_W
    assert worker.source == "model, 3.5 W a busy thread"


def test_a_worker_has_the_gpu_that_it_was_given(tmp_path, monkeypatch):
    nvml = fake_nvml(5_000, 1_000, 7_000)
    for said, joules in (("1,2,0", 1.0), ("GPU-8f1", 0.0), ("", 0.0)):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", said)
        assert WorkerJoules.here(powercap=tmp_path, nvml=nvml).gpu() == joules


def test_the_model_counts_this_process(tmp_path):
    meter = open_meter(powercap=tmp_path)
    sum(range(2_000_000))

    assert meter() > 0


def test_joules_per_hundredth_are_unknown_where_nothing_was_gained():
    assert joules_per_hundredth(100.0, -0.01) is None
    assert joules_per_hundredth(100.0, 0.0) is None
    assert joules_per_hundredth(100.0, None) is None


def test_a_kilowatt_hour_is_dirtier_in_poland_than_in_sweden():
    poland, sweden = (carbon_kg(3.6e6, country=name) for name in ("POL", "SWE"))

    assert poland == CARBON_G_PER_KWH["POL"] / 1000 > 10 * sweden


def test_an_unknown_country_is_named():
    with pytest.raises(InputError, match="got 'XXX'"):
        carbon_kg(1.0, country="XXX")
