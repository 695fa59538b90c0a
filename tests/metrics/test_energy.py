"""Energy: on a scratch tree of counters, since few hosts of tests show any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from vmvc import host
from vmvc.backends.fake import FakeBackend
from vmvc.backends.fake_options import FakeOptions
from vmvc.contract import Absent, Guest, Metric, MonotonicClock, Reading, Scene, Tag
from vmvc.errors import GuestDied, Unavailable
from vmvc.host.energy import counters, joules
from vmvc.metrics.energy import Energy, EnergyOptions
from vmvc.spec import BUILT_IN_IMAGES, Http, ReadyHttp
from vmvc.testing import MetricContract

GUEST = Guest(BUILT_IN_IMAGES["tiny"], cpus=1, memory=2**28, ready=ReadyHttp(http=Http(port=80)))
MOST = 262_143_328_850
TWO_SOCKETS = {
    "intel-rapl": ("", 0),
    "intel-rapl:0": ("package-0", 1_000_000),
    "intel-rapl:0:0": ("core", 900_000),
    "intel-rapl:0:1": ("dram", 300_000),
    "intel-rapl:1": ("package-1", 2_000_000),
    "intel-rapl:2": ("psys", 7_000_000),
    "intel-rapl-mmio:0": ("package-0", 1_000_000),
}


class TestEnergy(MetricContract):
    def metric(self) -> Metric:
        return Energy(EnergyOptions.model_validate({"for": "10ms"}))


def plant(root: Path, domains: Mapping[str, tuple[str, int]], more: int = 0) -> Path:
    for domain, (name, used) in domains.items():
        folder = root / "sys/class/powercap" / domain
        folder.mkdir(parents=True, exist_ok=True)
        if name:
            (folder / "name").write_text(f"{name}\n")
            (folder / "energy_uj").write_text(f"{(used + more) % MOST}\n")
            (folder / "max_energy_range_uj").write_text(f"{MOST}\n")
    return root


def test_packages_and_their_memory_are_counted_once(tmp_path: Path) -> None:
    before = counters(plant(tmp_path, TWO_SOCKETS))
    after = counters(plant(tmp_path, TWO_SOCKETS, more=5_000_000))
    assert joules(before, after, "package") == 10.0
    assert joules(before, after, "dram") == 5.0


def test_a_counter_that_begins_anew_is_counted_on(tmp_path: Path) -> None:
    late = {"intel-rapl:0": ("package-0", MOST - 1_000_000)}
    before = counters(plant(tmp_path, late))
    assert joules(before, counters(plant(tmp_path, late, more=3_000_000)), "package") == 3.0


def test_over_a_sleep_of_the_host_the_counters_tell_nothing(tmp_path: Path) -> None:
    """A package that was without power begins anew, which looks like a round of its counter."""
    before = replace(counters(plant(tmp_path, TWO_SOCKETS)), slept=0.0)
    after = replace(counters(plant(tmp_path, TWO_SOCKETS, more=-900_000)), slept=8.0)
    told = joules(before, after, "package")
    assert isinstance(told, Unavailable)
    assert "the host was suspended for 8 s meanwhile" in told.what


def test_a_kind_of_counter_that_is_not_there_is_unknown_and_not_nothing(tmp_path: Path) -> None:
    only = counters(plant(tmp_path, {"intel-rapl:0": ("package-0", 1)}))
    assert isinstance(joules(only, only, "dram"), Unavailable)


@pytest.mark.parametrize(
    ("domains", "why"),
    [
        ({}, "there is no /sys/class/powercap"),
        ({"intel-rapl": ("", 0)}, "has no energy counters"),
        ({"intel-rapl:0:0": ("core", 5)}, "may be read by root only"),
    ],
    ids=["a virtual machine", "no domain", "no package"],
)
def test_a_host_without_counters_says_why(
    tmp_path: Path, domains: Mapping[str, tuple[str, int]], why: str
) -> None:
    with pytest.raises(Unavailable, match=why):
        counters(plant(tmp_path, domains))


class Clock:
    """Time that passes by sleeping, in which the packages draw 50 W each and the memory 20 W."""

    def __init__(self, root: Path) -> None:
        self.root, self.at = root, 0.0

    def now(self) -> int:
        return round(self.at * 1e9)

    def sleep(self, seconds: float) -> None:
        self.at += seconds
        drawn = {
            name: (kind, used + round(seconds * (20 if kind == "dram" else 50) * 1e6))
            for name, (kind, used) in TWO_SOCKETS.items()
        }
        plant(self.root, drawn)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    root = plant(tmp_path / "host", TWO_SOCKETS)
    monkeypatch.setattr(host, "energy_counters", lambda: counters(root))
    instance = FakeBackend("fake", FakeOptions(state=str(tmp_path))).instance(Tag("r", 1, "h:1:1"), GUEST)
    monkeypatch.setattr(instance, "alive", lambda: True)
    return Scene({}, GUEST, instance, Clock(root))


def test_a_start_in_joules_and_rest_in_watts(scene: Scene) -> None:
    metric = Energy(EnergyOptions.model_validate({"for": "4s"}))
    before = metric.before()
    scene.clock.sleep(0.5)
    assert next(iter(metric.observe(replace(scene, before=before)))) == Reading("start", 50.0)
    rest = {one.quantity: one for one in metric.observe(replace(scene, before=before))}
    assert isinstance(rest["power"], Reading)
    assert metric.seconds() == 4


def test_power_is_energy_over_the_time_that_passed(scene: Scene) -> None:
    found = list(Energy(EnergyOptions.model_validate({"for": "4s"})).observe(scene))
    assert found == [
        Absent("start", "nobody looked before the request"),
        Reading("power", 100.0),
        Reading("dram_power", 20.0),
    ]


def test_a_guest_that_ends_meanwhile_fails_the_trial(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene.instance, "alive", lambda: False)
    with pytest.raises(GuestDied):
        list(Energy(EnergyOptions()).observe(scene))


def test_it_is_told_before_the_first_trial_that_there_are_no_counters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scene: Scene
) -> None:
    assert Energy(EnergyOptions()).check(GUEST) == ()
    monkeypatch.setattr(host, "energy_counters", lambda: counters(tmp_path / "nothing"))
    (finding,) = Energy(EnergyOptions()).check(GUEST)
    assert finding.what.startswith("energy will be absent: this host shows no energy counters")
    found = list(Energy(EnergyOptions()).observe(replace(scene, clock=MonotonicClock())))
    assert [type(one) for one in found] == [Absent] * 3


@pytest.mark.parametrize("length", ["0s", "11m"])
def test_a_time_in_which_a_counter_could_go_round_twice_is_refused(length: str) -> None:
    with pytest.raises(ValidationError):
        EnergyOptions.model_validate({"for": length})
