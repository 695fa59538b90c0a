"""Memory: each figure from its own source, at the right moment, or the reason why not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from vmvc import cgroups, host
from vmvc.backends.fake_instance import FakeInstance
from vmvc.contract import (
    Absent,
    Completed,
    Event,
    Finding,
    Guest,
    Marks,
    Metric,
    Observation,
    Processes,
    Reading,
    Scene,
    Series,
    Tag,
)
from vmvc.errors import DeadlineExceeded, GuestDied, StepFailed, Unavailable
from vmvc.metrics.memory import Memory, MemoryOptions
from vmvc.spec import BUILT_IN_IMAGES, Http, ReadyHttp
from vmvc.testing import MetricContract

MIB = 2**20
GUEST = Guest(BUILT_IN_IMAGES["tiny"], cpus=1, memory=2**28, ready=ReadyHttp(http=Http(port=80)))
V1 = {
    "memory.usage_in_bytes": "1000",
    "memory.max_usage_in_bytes": "2000",
    "memory.kmem.usage_in_bytes": "50",
    "memory.stat": "total_cache 300\ntotal_rss 400\ntotal_inactive_file 200\n",
}


class TestMemory(MetricContract):
    def metric(self) -> Metric:
        return Memory(MemoryOptions(settle=0.0))


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self, now: float) -> None:
        self.at = now
        self.slept: list[float] = []

    def now(self) -> int:
        return round(self.at * 1e9)

    def sleep(self, seconds: float) -> None:
        self.at += seconds
        self.slept.append(seconds)


class Plain(FakeInstance):
    """An instance whose processes and cgroup the test chooses."""

    def __init__(
        self,
        pids: Processes | None,
        cgroup: Path | None = None,
        lives: Sequence[bool] = (),
        said: str | Exception = "",
    ) -> None:
        self.tag, self.guest = Tag("r", 1, "h:1:1"), GUEST
        self._pids, self._cgroup, self._lives, self._said = pids, cgroup, list(lives), said

    def alive(self) -> bool:
        return self._lives.pop(0) if self._lives else True

    def processes(self) -> Processes:
        if self._pids is None:
            raise Unavailable("the engine is on another host")
        return self._pids

    def cgroup(self) -> Path | None:
        return self._cgroup

    def marks(self) -> Marks:
        return Marks(absent={} if self._said else {"kernel": "it boots none"})

    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
        assert self._said, "a guest without a kernel of its own is not disturbed"
        if isinstance(self._said, Exception):
            raise self._said
        return Completed(0, self._said.encode(), b"")


def observe(
    instance: FakeInstance, before: int | None = 0, clock: Clock | None = None, settle: float = 0
) -> Any:
    found = everything(instance, MemoryOptions(settle=settle), before, clock)
    return {value.quantity: value for value in found if isinstance(value, Reading | Absent)}


def everything(
    instance: FakeInstance, options: MemoryOptions, before: int | None = 0, clock: Clock | None = None
) -> list[Observation]:
    scene = Scene(
        events={"ready": Event(100 * 10**9)},
        guest=GUEST,
        instance=instance,
        clock=clock or Clock(100),
        before=before,
    )
    return list(Memory(options).observe(scene))


@contextmanager
def holding(size: int) -> Iterator[int]:
    """Run a process that holds so many bytes; give its id."""
    code = f"held = b'x' * {size}; print(); import sys; sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        assert process.stdin is not None
        process.stdin.close()


def values(found: Mapping[str, Reading | Absent], *names: str) -> list[float]:
    readings = [found[name] for name in names]
    assert all(isinstance(one, Reading) for one in readings), readings
    return [one.value for one in readings if isinstance(one, Reading)]


def test_own_processes_and_helpers_are_kept_apart() -> None:
    with holding(64 * MIB) as own, holding(16 * MIB) as helper, holding(64 * MIB) as shared:
        found = observe(Plain(Processes(own=(own,), helpers=(helper,), shared=(shared,))))
    rss, pss, uss, helpers_pss, helpers_rss = values(found, "rss", "pss", "uss", "helpers_pss", "helpers_rss")
    assert 64 * MIB < uss < pss < rss < 84 * MIB
    assert 16 * MIB < helpers_pss < helpers_rss < 36 * MIB
    assert 64 * MIB < values(found, "shared_pss")[0] < 84 * MIB


def test_no_helper_is_nothing_but_no_own_process_is_unknown() -> None:
    found = observe(Plain(Processes()))
    assert values(found, "helpers_pss", "helpers_rss") == [0, 0]
    for name in ("rss", "pss", "uss"):
        assert found[name] == Absent(name, "the instance shows no process of its own")


def test_cgroup_figures_and_what_docker_stats_would_show(tmp_path: Path) -> None:
    for name, text in V1.items():
        (tmp_path / name).write_text(text)
    found = observe(Plain(Processes(), tmp_path))
    assert [found[name] for name in found if "cgroup" in name or "docker" in name] == [
        Reading("cgroup_current", 1000, cgroups.slack()),
        Reading("cgroup_peak", 2000, cgroups.slack()),
        Reading("cgroup_anon", 400),
        Reading("cgroup_file", 300),
        Reading("cgroup_kernel", 50),
        Reading("docker_stats", 800),
    ]


def test_docker_stats_never_falls_below_nothing(tmp_path: Path) -> None:
    """As the command line does: where the cache exceeds the charge (one is stale), nothing is subtracted."""
    for name, text in V1.items():
        (tmp_path / name).write_text(text.replace("file 200", "file 1001"))
    assert values(observe(Plain(Processes(), tmp_path)), "docker_stats") == [1000]


@pytest.mark.parametrize("missing", ["memory.usage_in_bytes", "memory.stat"])
def test_docker_stats_needs_both_figures(tmp_path: Path, missing: str) -> None:
    for name, text in V1.items():
        if name != missing:
            (tmp_path / name).write_text(text)
    assert isinstance(observe(Plain(Processes(), tmp_path))["docker_stats"], Absent)


def test_without_a_cgroup_its_figures_are_absent() -> None:
    found = observe(Plain(Processes()))
    for name in (
        *(f"cgroup_{figure}" for figure in ("current", "peak", "anon", "file", "kernel")),
        "docker_stats",
    ):
        assert found[name] == Absent(name, "the instance has no memory cgroup of its own")


def test_an_engine_elsewhere_leaves_no_figure_of_this_host() -> None:
    """This host's available memory says nothing of an engine on another one."""
    found = observe(Plain(None), before=host.mem_available())
    for name in ("rss", "pss", "uss", "helpers_pss", "helpers_rss", "host_drop"):
        assert found[name] == Absent(name, "the engine is on another host")


@pytest.mark.parametrize("drop", [5000, -3000, 0])
def test_the_hosts_drop_keeps_its_sign(monkeypatch: pytest.MonkeyPatch, drop: int) -> None:
    monkeypatch.setattr(host, "mem_available", lambda: 10**9)
    assert observe(Plain(Processes()), before=10**9 + drop)["host_drop"] == Reading("host_drop", drop)


def test_the_hosts_drop_begins_before_the_request() -> None:
    """Others use the host too, so one quiet moment in five is enough."""
    metric = Memory(MemoryOptions(settle=0.0))
    drops = []
    for _ in range(5):
        before = metric.before()
        with holding(256 * MIB) as own:
            drops += values(observe(Plain(Processes(own=(own,))), before=before), "host_drop")
    assert any(drop == pytest.approx(256 * MIB, rel=0.2) for drop in drops), drops


@pytest.mark.parametrize(
    ("now", "slept"),
    [(100.0, [10.0]), (104.0, [6.0]), (110.0, []), (250.0, [])],
    ids=lambda value: str(value),
)
def test_it_settles_counted_from_ready(now: float, slept: list[float]) -> None:
    clock = Clock(now)
    observe(Plain(Processes()), clock=clock, settle=10.0)
    assert clock.slept == slept


def test_nothing_is_looked_at_before_it_has_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(100)
    looked: list[float] = []

    def available() -> int:
        looked.append(clock.at)
        return 0

    monkeypatch.setattr(host, "mem_available", available)
    observe(Plain(Processes()), clock=clock, settle=10.0)
    assert looked == [110.0]


@pytest.mark.parametrize("lives", [[False], [True, False]], ids=["while settling", "while looking"])
def test_a_guest_that_died_has_no_memory(lives: list[bool]) -> None:
    with pytest.raises(GuestDied):
        observe(Plain(Processes(), lives=lives))


def test_settle_is_ten_seconds_and_can_be_set() -> None:
    assert Memory(MemoryOptions()).seconds() == 10
    assert Memory(MemoryOptions.model_validate_json('{"settle": "1500ms"}')).seconds() == 1.5


# --- the guest's own account ------------------------------------------------------------------------------

MEMINFO = "MemTotal:  1000 kB\nMemFree:  1 kB\nMemAvailable:  400 kB\n"
OTHER_KERNEL = "01234567-89ab-cdef-0123-456789abcdef\n"


def test_what_a_guest_uses_is_told_by_its_own_kernel() -> None:
    found = observe(Plain(Processes(), said=MEMINFO + OTHER_KERNEL))
    assert found["guest_used"] == Reading("guest_used", 600 * 1024)


def test_a_guest_without_a_kernel_of_its_own_is_not_asked() -> None:
    reason = "it boots none, and its /proc/meminfo is the host's"
    assert observe(Plain(Processes()))["guest_used"] == Absent("guest_used", reason)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (MEMINFO + host.boot_id() + "\n", "guest and host run one kernel"),
        (MEMINFO, "the guest shows no boot id"),
        (MEMINFO.replace("MemAvailable", "Mem") + OTHER_KERNEL, "no MemAvailable"),
        (Unavailable("there is no way in"), "there is no way in"),
        (DeadlineExceeded("the guest agent did not appear within 20 s"), "did not appear"),
        (StepFailed("the agent is mad"), "'cat' cannot be run in the guest: the agent is mad"),
    ],
    ids=["one kernel", "no boot id", "no figure", "no way in", "no agent", "refused"],
)
def test_a_guest_that_cannot_tell_costs_this_figure_only(said: str | Exception, reason: str) -> None:
    found = observe(Plain(Processes(), said=said))
    absent = found["guest_used"]
    assert isinstance(absent, Absent)
    assert reason in absent.reason
    assert values(found, "host_drop", "helpers_pss")


def test_a_guest_that_dies_while_it_is_asked_has_no_memory() -> None:
    with pytest.raises(GuestDied):
        observe(Plain(Processes(), said=GuestDied("gone")))


# --- time, merged pages, the look's own cost --------------------------------------------------------------


def test_a_look_costs_cpu_time_of_its_own() -> None:
    with holding(MIB) as own:
        (cost,) = values(observe(Plain(Processes(own=(own,)))), "look_cpu")
    assert 0 < cost < 1


def test_memory_over_time_is_a_series_from_the_first_look_on() -> None:
    options = MemoryOptions.model_validate_json('{"settle": "2s", "sample": {"every": "500ms", "for": "3s"}}')
    assert Memory(options).seconds() == 5
    clock = Clock(101)
    with holding(32 * MIB) as own:
        found = everything(Plain(Processes(own=(own,))), options, clock=clock)
    (series,) = [one for one in found if isinstance(one, Series)]
    assert [row["at"] for row in series.rows] == [2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0]
    assert all(32 * MIB < row["pss"] <= row["rss"] for row in series.rows)
    assert all(row["look_cpu"] > 0 and "cgroup_current" not in row for row in series.rows)
    assert series.columns["cgroup_current"] == "B"
    assert clock.at == 105


def test_a_guest_that_ends_while_it_is_sampled_has_no_memory() -> None:
    options = MemoryOptions.model_validate_json('{"settle": "0s", "sample": {"for": "3s"}}')
    with pytest.raises(GuestDied):
        everything(Plain(Processes(), lives=[True, True, True, False]), options)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"every": "10ms", "for": "1s"}', "greater than or equal to 0.1"),
        ('{"every": "2s", "for": "1s"}', "no second look"),
        ('{"every": "100ms", "for": "10h"}', "more than 100,000 looks"),
        ('{"every": "1s"}', "Field required"),
        ('{"every": "1s", "for": "0s"}', "greater than 0"),
    ],
)
def test_a_sample_that_makes_no_sense_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        MemoryOptions.model_validate_json(f'{{"sample": {text}}}')


@pytest.mark.parametrize("run", [0, 1])
def test_merged_pages_are_a_finding(monkeypatch: pytest.MonkeyPatch, run: int) -> None:
    monkeypatch.setattr(host, "ksm", lambda: {"run": run, "pages_shared": 3, "pages_sharing": 90})
    told = [
        one.what
        for one in everything(Plain(Processes()), MemoryOptions(settle=0))
        if isinstance(one, Finding)
    ]
    assert told == ["KSM merged pages meanwhile: 90 share 3, after some full scans"] * run


# --- what no process shows --------------------------------------------------------------------------------


class Hides(Plain):
    """An instance of a platform whose driver holds memory of the guest."""

    hides_memory = True


def test_memory_that_no_process_shows_is_a_finding_where_the_platform_has_such(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def found(instance: Plain, before: int) -> list[str]:
        given = everything(instance, MemoryOptions(settle=0), before=before)
        return [one.what for one in given if isinstance(one, Finding)]

    monkeypatch.setattr(host, "mem_available", lambda: 500 * MIB)
    with holding(8 * MIB) as pid:
        (told,) = found(Hides(Processes((pid,))), 800 * MIB)
        assert "300 MiB" in told
        assert found(Hides(Processes((pid,))), 501 * MIB) == []
        assert found(Plain(Processes((pid,))), 800 * MIB) == []
