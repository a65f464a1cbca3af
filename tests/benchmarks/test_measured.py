"""Energy counters that wrap, fall, stand still or refuse; joules per sample by hand."""

from __future__ import annotations

import sys
from math import sqrt
from types import SimpleNamespace

import pytest

from spikeport.benchmarks.measured.counter import open_counter
from spikeport.benchmarks.measured.nvml import NvmlCounter, open_nvml
from spikeport.benchmarks.measured.rapl import open_rapl
from spikeport.benchmarks.measured.windows import Plan, Work, measure
from spikeport.errors import UnavailableError, UsageError

PLAN = Plan(window_s=4.0, repeats=3)


class Machine:
    """A device that idles at 10 W and works at `watts`, one batch in 0.05 s; its own clock and counter."""

    device, method, note = "fake", "fake counter", "says nothing"

    def __init__(self, watts=(30.0,)):
        self.time = self.energy = 0.0
        self.watts, self.batches, self.active = list(watts), 0, False

    def now(self):
        return self.time

    def sleep(self, seconds):
        if self.active and len(self.watts) > 1:
            self.watts.pop(0)
        self.active = False
        self._pass(seconds, 10.0)

    def run(self):
        self.active = True
        self.batches += 1
        self._pass(0.05, self.watts[0])

    def _pass(self, seconds, watts):
        self.time += seconds
        self.energy += seconds * watts

    def joules(self):
        return self.energy

    def conditions(self):
        return {"temperature_C": str(20 + self.batches // 1000)}


def run(machine, plan=PLAN, batch=8):
    return measure(Work(machine.run, lambda: None, batch), machine, plan, machine)


def test_joules_per_sample_by_hand():
    """20 batches of 8 a second at 30 W: 30/160 J a sample, of which 20/160 J dynamic."""
    found = run(Machine())
    assert found.joules_total == pytest.approx(30 / 160)
    assert found.joules_dynamic == pytest.approx(20 / 160)
    assert found.idle_watts == pytest.approx(10)
    assert found.standard_error == pytest.approx(0, abs=1e-12)
    assert (found.batch, found.repeats, found.note) == (8, 3, "says nothing")
    assert found.conditions["temperature_C_before"] == "20"


def test_standard_error_over_the_repeats():
    """The warm-up takes the first of the powers: dynamic powers of 20, 22, 27 W, their deviation over sqrt(3)."""
    found = run(Machine(watts=(99, 30, 32, 37)))
    mean = (20 + 22 + 27) / 3
    deviation = sqrt(sum((w - mean) ** 2 for w in (20, 22, 27)) / 2)
    assert found.joules_dynamic == pytest.approx(mean / 160)
    assert found.standard_error == pytest.approx(deviation / sqrt(3) / 160)


def test_work_that_takes_less_than_idling_is_told_as_it_is():
    assert run(Machine(watts=(9.0,))).joules_dynamic < 0


def test_a_counter_that_does_not_move_is_no_zero():
    machine = Machine()
    machine.joules = lambda: 7.0
    with pytest.raises(UnavailableError, match=r"did not move in 4\.0 s"):
        run(machine)


def test_plans_that_measure_nothing_are_refused():
    with pytest.raises(UsageError, match="at least 1 s"):
        Plan(window_s=0.1)
    with pytest.raises(UsageError, match="at least 1 s"):
        Plan(window_s=float("nan"))
    with pytest.raises(UsageError, match="two"):
        Plan(repeats=1)


def package(root, index=0, energy="1000", largest="5000000"):
    folder = root / f"intel-rapl:{index}"
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"package-{index}\n")
    (folder / "energy_uj").write_text(f"{energy}\n")
    (folder / "max_energy_range_uj").write_text(f"{largest}\n")
    return folder / "energy_uj"


def test_rapl_sums_packages_and_unwraps(tmp_path):
    first, second = package(tmp_path), package(tmp_path, 1, "4000000")
    (tmp_path / "intel-rapl:0:0").mkdir()
    counter = open_rapl(tmp_path)
    assert counter.device == "CPU, package-0 and package-1"
    assert counter.joules() == 0
    first.write_text("1001000")
    second.write_text("500000")  # wrapped at 5,000,000: 1.5 J further
    assert counter.joules() == pytest.approx(1.0 + 1.5)
    second.write_text("600000")
    assert counter.joules() == pytest.approx(1.0 + 1.5 + 0.1)


def test_rapl_leaves_the_whole_machine_out(tmp_path):
    """Its zone "psys" holds the package, which would count twice."""
    inside, whole = package(tmp_path), package(tmp_path, 1)
    (whole.parent / "name").write_text("psys\n")
    counter = open_rapl(tmp_path)
    assert counter.device == "CPU, package-0"
    inside.write_text("10001000")
    whole.write_text("15001000")
    assert counter.joules() == pytest.approx(10.0)


def test_rapl_that_falls_by_more_than_its_range_is_refused(tmp_path):
    file = package(tmp_path, energy="9000000")
    counter = open_rapl(tmp_path)
    file.write_text("0")
    with pytest.raises(UnavailableError, match="more than its range"):
        counter.joules()


def test_rapl_absent_forbidden_or_garbled_says_why(tmp_path, monkeypatch):
    with pytest.raises(UnavailableError, match="no RAPL package"):
        open_rapl(tmp_path / "nowhere")
    package(tmp_path, energy="none")
    with pytest.raises(UnavailableError, match="no number"):
        open_rapl(tmp_path)

    def forbidden(self, **_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_text", forbidden)
    with pytest.raises(UnavailableError, match="permission denied"):
        open_rapl(tmp_path)


class FakeNvmlError(Exception):
    pass


def nvml(millijoules, **changes):
    readings = iter(millijoules)
    fields = {
        "NVMLError": FakeNvmlError,
        "NVML_TEMPERATURE_GPU": 0,
        "NVML_CLOCK_SM": 1,
        "nvmlInit": lambda: None,
        "nvmlDeviceGetHandleByUUID": lambda uuid: uuid,
        "nvmlDeviceGetName": lambda handle: "NVIDIA H200",
        "nvmlDeviceGetTotalEnergyConsumption": lambda handle: next(readings),
        "nvmlDeviceGetTemperature": lambda handle, which: 31,
        "nvmlDeviceGetClockInfo": refuse,
    }
    return SimpleNamespace(**(fields | changes))


def refuse(*_):
    raise FakeNvmlError("Not Supported")


def test_nvml_counts_millijoules_and_tells_what_it_can():
    counter = NvmlCounter(nvml([5000, 7500]), "handle")
    assert counter.joules() == pytest.approx(7.5)
    assert counter.device == "NVIDIA H200"
    assert counter.conditions() == {"temperature_C": "31"}
    assert "densely" in counter.note


def test_nvml_that_falls_or_refuses_says_why(monkeypatch):
    counter = NvmlCounter(nvml([5000, 4000]), "handle")
    with pytest.raises(UnavailableError, match=r"fell from 5\.0 to 4\.0 J"):
        counter.joules()
    monkeypatch.setitem(sys.modules, "pynvml", nvml([], nvmlDeviceGetTotalEnergyConsumption=refuse))
    with pytest.raises(UnavailableError, match=r"TotalEnergyConsumption is refused \(Not Supported\)"):
        open_nvml("GPU-1")
    monkeypatch.setitem(sys.modules, "pynvml", nvml([], nvmlInit=refuse))
    with pytest.raises(UnavailableError, match="does not start"):
        open_nvml("GPU-1")
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(UnavailableError, match="not installed"):
        open_nvml("GPU-1")


def test_devices_without_a_counter():
    with pytest.raises(UnavailableError, match="no energy counter"):
        open_counter("tpu")
