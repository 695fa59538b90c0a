"""Density: when growth ends and why, and what follows from the looks, on a host of scripted memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil
import pytest

from vmvc import cputimes, host
from vmvc.backends.fake import FakeBackend
from vmvc.backends.fake_instance import FakeInstance
from vmvc.backends.fake_options import FakeOptions
from vmvc.contract import (
    Absent,
    Event,
    Guest,
    Member,
    Metric,
    MonotonicClock,
    Processes,
    Scene,
    Series,
    Severity,
    Tag,
)
from vmvc.errors import Unavailable
from vmvc.job import Job, Outcome
from vmvc.metrics.density import Density, DensityOptions
from vmvc.metrics.growth import CAPACITY, LINES, Before, Growth, Point
from vmvc.spec import BUILT_IN_IMAGES, Http, ReadyHttp
from vmvc.testing import MetricContract
from vmvc.trial import Trial
from vmvc.units import show_seconds

MIB = 2**20
GIB = 2**30
GUEST = Guest(
    BUILT_IN_IMAGES["tiny"], cpus=1, memory=2**28, ready=ReadyHttp(http=Http(port=80, interval=0.001))
)


class TestDensity(MetricContract):
    def metric(self) -> Metric:
        return Density(DensityOptions(instances=3, concurrency=2, settle=0.0, idle=0.01))


class Host:
    """A host of 16 GiB of which each instance takes ``each``, and the first ``shared`` on top."""

    def __init__(self, state: Path, each: int, shared: int) -> None:
        self.state, self.each, self.shared = state, each, shared
        self.available, self.swapped, self.lowest = 12 * GIB, 0, 12 * GIB

    @property
    def running(self) -> int:
        return len(list(self.state.glob("vmvc-*/running.json")))

    def mem_available(self) -> int:
        running = self.running
        left = self.available - running * self.each - (self.shared if running else 0)
        self.lowest = min(self.lowest, left)
        return left

    def swapped_in(self) -> int | None:
        return self.swapped


Run = Callable[..., Outcome]


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host(tmp_path / "state", 100 * MIB, 300 * MIB)
    monkeypatch.setattr(host, "mem_available", lambda: made.mem_available())
    monkeypatch.setattr(host, "swapped_in", lambda: made.swapped_in())
    memory = psutil.virtual_memory()._replace(total=16 * GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    return made


@pytest.fixture
def run(tmp_path: Path, scripted: Host) -> Run:
    """Run a trial of density on the fake backend."""

    def one(
        fake: Mapping[str, object] | None = None,
        backend: type[FakeBackend] = FakeBackend,
        timeout: float = 5.0,
        **options: object,
    ) -> Outcome:
        asked = DensityOptions.model_validate({"settle": "0s", "idle": "10ms", **options})
        used = backend("fake", FakeOptions.model_validate({"state": str(tmp_path / "state"), **(fake or {})}))
        job = Job(Tag("r", 1, "h:1:1"), used, GUEST, (Density(asked),), timeout, 5.0)
        outcome = Trial(job, lambda step, seconds: None, MonotonicClock()).run()
        assert outcome.failure is None, outcome.failure
        assert not used.leftovers()
        return outcome

    return one


def values(outcome: Outcome) -> dict[str, float]:
    return {one.quantity: one.value for _, one in outcome.readings}


def reasons(outcome: Outcome) -> dict[str, str]:
    return {one.quantity: one.reason for _, one in outcome.absent}


def why(outcome: Outcome) -> str:
    (finding,) = [one for one in outcome.findings if one.code == "density.stopped"]
    return finding.what


# --- when it ends -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("concurrency", "looks"), [(1, [1, 2, 3, 4, 5, 6, 7]), (4, [1, 5, 7]), (64, [1, 7])])
def test_the_number_asked_for_is_reached_and_not_passed(run: Run, concurrency: int, looks: list[int]) -> None:
    outcome = run(instances=7, concurrency=concurrency)
    assert values(outcome)["instances"] == 7
    assert why(outcome) == "growth ended at 7 instances: as many as were asked for"
    assert {one.severity for one in outcome.findings} == {Severity.INFO}
    ((_, series),) = outcome.series
    assert [row["instance"] for row in series.rows if "available" in row] == looks


@pytest.mark.parametrize("concurrency", [1, 3, 8])
def test_the_memory_floor_is_never_passed(run: Run, scripted: Host, concurrency: int) -> None:
    scripted.each, scripted.available = 700 * MIB, 12 * GIB
    outcome = run(instances=1000, concurrency=concurrency)
    assert "more would leave less than" in why(outcome)
    assert scripted.lowest >= 0.1 * 16 * GIB
    fits = (12 * GIB - 300 * MIB - 1.6 * GIB) / (700 * MIB)
    assert fits - concurrency - 1 < values(outcome)["instances"] <= fits
    assert outcome.findings[0].severity is Severity.WARNING


def test_more_can_be_kept_free_but_never_less(run: Run, scripted: Host) -> None:
    scripted.each = 700 * MIB
    usual = values(run(instances=99))["instances"]
    assert values(run(instances=99, keep_free="6GiB"))["instances"] == usual - 7
    assert values(run(instances=99, keep_free="1MiB"))["instances"] == usual


def test_a_small_host_keeps_a_whole_gibibyte(
    run: Run, scripted: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = psutil.virtual_memory()._replace(total=2 * GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: small)
    scripted.available, scripted.shared = GIB + 550 * MIB, 0
    assert values(run(instances=9))["instances"] == 5


def test_a_host_that_is_low_from_the_start_gets_no_second_instance(run: Run, scripted: Host) -> None:
    scripted.available = 2 * GIB - 100 * MIB
    outcome = run(instances=5)
    assert values(outcome)["instances"] == 1
    assert "of the host's memory is free" in why(outcome)
    assert "a line needs two looks at the host" in reasons(outcome)["memory_slope"]


def test_memory_that_runs_out_while_a_burst_starts_ends_it(
    run: Run, scripted: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vmvc.fleet.LOOK", 0.01)

    begun: list[float] = []

    def available() -> int:
        """Give the second a second to be ready before the memory runs out."""
        if scripted.running >= 3:
            begun.append(time.monotonic())
        return GIB if begun and begun[-1] - begun[0] > 1.0 else 12 * GIB

    monkeypatch.setattr(host, "mem_available", available)
    outcome = run({"hang": "ready", "fault_members": (3, 4, 5)}, instances=9, concurrency=4, timeout=60.0)
    assert "failed in ready: given up: less than 1.6 GiB of the host's memory is free" in why(outcome)
    assert values(outcome)["instances"] == 2


@pytest.mark.parametrize("step", ["create", "start", "ready"])
def test_a_failed_start_ends_growth_and_is_no_failed_trial(run: Run, step: str) -> None:
    fault = {"hang": "ready"} if step == "ready" else {"fail": {step: "no more"}}
    outcome = run({**fault, "fault_members": (4,)}, instances=9, timeout=0.3)
    assert values(outcome)["instances"] == 3
    assert why(outcome).startswith(f"growth ended at 3 instances: instance 4 failed in {step}: ")
    assert "\n" not in why(outcome)
    assert "memory_slope" in values(outcome)


def test_a_failed_first_is_a_failed_trial(tmp_path: Path) -> None:
    options = FakeOptions(state=str(tmp_path / "state"), fail={"start": "no"})
    job = Job(
        Tag("r", 1, "h:1:1"), FakeBackend("fake", options), GUEST, (Density(DensityOptions()),), 5.0, 5.0
    )
    outcome = Trial(job, lambda step, seconds: None, MonotonicClock()).run()
    assert outcome.failure is not None
    assert outcome.failure[0] == "start"
    assert (outcome.readings, outcome.findings) == ([], [])


def test_an_instance_that_does_not_live_ends_growth(run: Run) -> None:
    outcome = run({"dies_after": 0.5, "fault_members": (3,)}, instances=50, concurrency=2, settle="2s")
    assert values(outcome)["instances"] == 2
    assert why(outcome) == "growth ended at 3 instances: instance 3 ended after it was ready"
    assert "instance 3 ended" in reasons(outcome)["idle_cpu"]


def test_late_readiness_ends_growth(run: Run) -> None:
    outcome = run({"ready": 0.1}, instances=9, ready_limit="20ms")
    assert values(outcome)["instances"] == 1
    ((_, series),) = outcome.series
    (ready,) = (float(one["ready"]) for one in series.rows)
    assert ready >= 0.1
    assert why(outcome).endswith(f": the 95th percentile of readiness is {show_seconds(ready)}, over 20 ms")


def test_a_page_from_swap_ends_growth(run: Run, scripted: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "swapped_in", lambda: 1000 + 7 * (scripted.running >= 4))
    outcome = run(instances=9)
    assert values(outcome)["instances"] == 4
    assert why(outcome) == "growth ended at 4 instances: 7 pages came back from swap"


def test_a_host_that_does_not_count_swap_does_not_end_growth(run: Run, scripted: Host) -> None:
    scripted.swapped_in = lambda: None  # type: ignore[method-assign]
    assert values(run(instances=3))["instances"] == 3


def test_an_engine_elsewhere_cannot_be_watched_and_gets_no_fleet(run: Run) -> None:
    class Elsewhere(FakeInstance):
        def processes(self) -> Processes:
            raise Unavailable("the engine is on another host")

    class ElsewhereBackend(FakeBackend):
        instance_type = Elsewhere

    outcome = run(backend=ElsewhereBackend, instances=9)
    assert values(outcome).keys() == {"instances", "first_ready", "nth_ready"}
    assert "the engine is on another host" in why(outcome)
    assert values(outcome)["instances"] == 1


# --- what follows -----------------------------------------------------------------------------------------


def test_slope_and_intercept_are_those_of_the_scripted_host(run: Run) -> None:
    found = values(run({"disk": {"unique": 5 * MIB}}, instances=7))
    assert found["memory_slope"] == found["memory_slope_low"] == found["memory_slope_high"] == 100 * MIB
    assert found["memory_intercept"] == 300 * MIB
    assert found["disk_slope"] == found["disk_slope_low"] == found["disk_slope_high"] == 5 * MIB
    assert found["disk_intercept"] == 0
    room = 12 * GIB - round(1.6 * GIB)
    expected = (room - 300 * MIB) // (100 * MIB)
    assert found["capacity"] == found["capacity_low"] == found["capacity_high"] == expected


def test_the_capacity_that_is_predicted_is_the_one_that_is_found(run: Run, scripted: Host) -> None:
    scripted.each = 700 * MIB
    predicted = values(run(instances=6))["capacity"]
    assert predicted == values(run(instances=99))["instances"]


def grown(*available: int, before: int = 1000, floor: int = 100) -> dict[str, float | str]:
    """Return all that follows from looks at 1, 2, 3 ... instances, absences by their reason."""
    points = [Point(number, left, 0) for number, left in enumerate(available, 1)]
    found = Growth(Before(before, 0), floor, points).readings()
    return {one.quantity: one.reason if isinstance(one, Absent) else one.value for one in found}


def test_one_wild_look_does_not_move_the_slope() -> None:
    found = grown(990, 980, 970, 100, 950, 940, 930, 920, 910)
    assert found["memory_slope"] == 10
    assert 0 <= float(found["memory_intercept"]) <= 10
    assert 89 <= float(found["capacity"]) <= 90


def test_the_ends_of_the_interval_become_the_ends_of_capacity() -> None:
    found = grown(989, 981, 969, 961, 950, 938, 931, 919, 910)
    assert float(found["memory_slope_low"]) < 10 < float(found["memory_slope_high"])
    low, middle, high = (float(found[name]) for name in ("capacity_low", "capacity", "capacity_high"))
    assert low < middle < high
    assert middle == pytest.approx(90, abs=2)


def test_few_looks_give_a_slope_and_no_interval() -> None:
    found = grown(990, 980, 970)
    assert found["memory_slope"] == 10
    for name in ("memory_slope_low", "memory_slope_high", "capacity_low", "capacity_high"):
        assert found[name] == "n = 3, an interval needs 5"
    assert isinstance(grown(990, 980, 970, 960, 950)["capacity_low"], float | int)
    assert isinstance(grown(990, 980, 970, 960)["capacity_low"], str)


@pytest.mark.parametrize("available", [(990, 990, 990), (980, 985, 990)])
def test_a_slope_that_does_not_rise_predicts_nothing(available: tuple[int, ...]) -> None:
    found = grown(*available)
    assert isinstance(found["memory_slope"], float)
    assert "no end" in str(found["capacity"])


def test_an_interval_that_reaches_nothing_has_no_upper_capacity() -> None:
    found = grown(990, 991, 970, 975, 950, 990, 930)
    assert float(found["memory_slope_low"]) <= 0
    assert "no end" in str(found["capacity_high"])
    assert float(found["capacity"]) > 0


def test_a_full_host_has_room_for_none_and_not_for_less() -> None:
    assert grown(300, 200, 100, floor=5000)["capacity"] == 0


def test_every_quantity_comes_whatever_the_number_of_looks() -> None:
    for looks in range(8):
        names = [one.name for one in (*LINES, *CAPACITY)]
        assert sorted(grown(*range(900, 900 - looks, -1))) == sorted(names)


def test_the_next_is_expected_to_take_as_much_as_any_so_far() -> None:
    growth = Growth(Before(1000, 0), 0, [Point(1, 950, 0), Point(5, 930, 0), Point(6, 960, 0)])
    assert growth.need() == 50
    growth.points.append(Point(8, 700, 0))
    assert growth.need() == 130


def test_a_disk_that_one_member_hides_has_no_line(run: Run) -> None:
    outcome = run(instances=3)
    assert reasons(outcome)["disk_slope"] == "the script does not say"
    assert "disk_slope" not in values(outcome)


def test_first_and_nth_are_the_members_own_times_with_their_resolution(run: Run) -> None:
    outcome = run({"ready": 0.05}, instances=3, concurrency=2)
    ((_, series),) = outcome.series
    rows = series.rows
    readings = {one.quantity: one for _, one in outcome.readings}
    for name, row in (("first_ready", rows[0]), ("nth_ready", rows[-1])):
        assert readings[name].value == row["ready"]
        assert readings[name].resolution == row["ready_resolution"]
        assert 0.05 <= readings[name].value < 0.5
    first = outcome.events
    assert readings["first_ready"].value == (first["ready"].at - first["requested"].at) / 1e9


def test_idle_cpu_is_what_the_processes_used_over_the_time_that_passed(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([{(1, 1): 5.0}, {(1, 1): 5.1, (1, 2): 0.1}])
    monkeypatch.setattr(cputimes, "look", lambda pids: next(looks))
    outcome = run(instances=2, idle="100ms")
    assert values(outcome)["idle_cpu"] == pytest.approx(2, rel=0.3)


def test_without_time_to_idle_there_is_no_share(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = run(instances=2, idle="0s")
    assert "idle_cpu" in {**reasons(outcome), **values(outcome)}


def test_the_fleet_settles_before_it_is_looked_at(scripted: Host) -> None:
    """And looks at memory on the way, so that it never waits with less than the floor."""
    clock = Stepping()
    metric = Density(DensityOptions(instances=2, settle=5.0, idle=0.0))
    growth = Growth(Before(12 * GIB, 0), GIB)
    scene = Scene({}, GUEST, Alive(), clock)
    assert metric._rest(scene, growth, 5.0) == ""
    assert clock.slept == [1.0] * 5
    scripted.available = GIB - 1
    assert "memory is free" in metric._rest(scene, growth, 5.0)
    assert len(clock.slept) == 5


class Stepping:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> int:
        return round(sum(self.slept) * 1e9)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class Alive(FakeInstance):
    def __init__(self) -> None:
        self.tag, self.guest = Tag("r", 1, "h:1:1"), GUEST


def test_seconds_and_lives_count_every_burst() -> None:
    metric = Density(DensityOptions(instances=20, concurrency=4, settle=2.0, idle=10.0))
    assert metric.lives() == 6
    assert metric.seconds() == 22
    assert Density(DensityOptions(instances=2, concurrency=64)).lives() == 2


def test_a_series_has_a_row_a_member_and_a_look_a_burst() -> None:
    events = {"requested": Event(0), "ready": Event(2 * 10**9, 0.01)}
    members = [Member(number, Alive(), events) for number in (1, 2, 4)]
    growth = Growth(Before(9, 0), 1, [Point(1, 8, 5), Point(3, 6, 10)], {1: 5, 2: 5, 4: Unavailable("no")})
    assert growth.series(members) == Series(
        {"instance": "1", "ready": "s", "ready_resolution": "s", "disk": "B", "available": "B"},
        [
            {"instance": 1, "ready": 2.0, "ready_resolution": 0.01, "disk": 5, "available": 8},
            {"instance": 2, "ready": 2.0, "ready_resolution": 0.01, "disk": 5},
            {"instance": 4, "ready": 2.0, "ready_resolution": 0.01, "available": 6},
        ],
    )
