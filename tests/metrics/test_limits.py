"""Limits: what hogs print and the host counts becomes readings; without a promise nothing is tried."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from vmvc import cgroups, cputimes, host
from vmvc.backends.fake_instance import FakeInstance
from vmvc.contract import (
    Absent,
    Completed,
    Finding,
    Guest,
    Metric,
    MonotonicClock,
    Observation,
    Processes,
    Reading,
    Scene,
    Tag,
)
from vmvc.contract import Limits as Held
from vmvc.errors import StepFailed, Unavailable, VmvcError
from vmvc.metrics import limits, limits_cpu, limits_pids
from vmvc.metrics.limits import Limits, LimitsOptions
from vmvc.spec import BUILT_IN_IMAGES, Http, ReadyHttp
from vmvc.testing import MetricContract

MIB = 2**20
GUEST = Guest(BUILT_IN_IMAGES["tiny"], cpus=1, memory=2**28, ready=ReadyHttp(http=Http(port=80)))
HELD = Held(1.0, 64 * MIB, 32, "cgroup")


class TestLimits(MetricContract):
    def metric(self) -> Metric:
        return Limits(LimitsOptions(hog=0.01))


class Promising(FakeInstance):
    """An instance that promises, and answers hogs as the test chooses: ``awk``, ``crowd`` and ``cat``."""

    def __init__(self, held: Held | VmvcError = HELD, folder: Path | None = None, **answers: object) -> None:
        self.tag, self.guest = Tag("r", 1, "h:1:1"), GUEST
        self._held = held
        self._own = folder
        self._answers = answers
        self.asked: list[Sequence[str]] = []

    def limits(self) -> Held:
        if isinstance(self._held, VmvcError):
            raise self._held
        return self._held

    def processes(self) -> Processes:
        return Processes(own=(1,))

    def cgroup(self) -> Path | None:
        return self._own

    def alive(self) -> bool:
        return not self._answers.get("dead")

    def epitaph(self) -> str:
        return "killed"

    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
        self.asked.append(argv)
        name = "crowd" if any("sleep 5" in one for one in argv) else argv[0]
        said = self._answers.get(name, Completed(0, b"", b""))
        if name == "awk" and self._own is not None:
            (self._own / "memory.events").write_text("low 0\noom 3\noom_kill 2\n")
        if isinstance(said, VmvcError):
            raise said
        assert isinstance(said, Completed)
        return said


def counted(*numbers: int, code: int = 0) -> Completed:
    return Completed(code, b"".join(b"%d\n" % number for number in numbers), b"no more")


@pytest.fixture(autouse=True)
def _host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "mem_available", lambda: 64 * 2**30)
    monkeypatch.setattr(limits_pids, "_tasks", lambda instance: 3)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    times = itertools.count()
    monkeypatch.setattr(cputimes, "look", lambda pids: {(1, 1): float(next(times)) * 1e-9})


def observe(instance: FakeInstance) -> list[Observation]:
    return list(Limits(LimitsOptions(hog=0.001)).observe(Scene({}, GUEST, instance, MonotonicClock())))


def told(instance: FakeInstance) -> Mapping[str, float | str]:
    """Return every value, or the reason why there is none."""
    return {
        one.quantity: one.reason if isinstance(one, Absent) else one.value
        for one in observe(instance)
        if isinstance(one, Absent | Reading)
    }


def test_where_no_limit_is_set_nothing_is_tried() -> None:
    instance = Promising(
        Held(absent=dict.fromkeys(("cpus", "memory", "pids"), "the bare host limits nothing"))
    )
    found = told(instance)
    assert set(found.values()) == {"the bare host limits nothing", limits._NO_KEY}
    assert instance.asked == []


def test_a_machine_of_the_users_is_left_alone() -> None:
    instance = Promising()
    scene = Scene({}, replace(GUEST, machine="mine"), instance, MonotonicClock())
    found = list(Limits(LimitsOptions()).observe(scene))
    assert all(isinstance(one, Absent) for one in found)
    assert instance.asked == []


def test_a_program_that_is_killed_at_the_limit(tmp_path: Path) -> None:
    (tmp_path / "memory.events").write_text("oom_kill 1\n")
    (tmp_path / "memory.swap.current").write_text("4096\n")
    found = told(Promising(folder=tmp_path, awk=counted(1, 2, 61, code=137)))
    assert found["memory_asked"] == 64 * MIB
    assert found["memory_reached"] == 61 * MIB
    assert (found["memory_kept"], found["memory_killed"], found["oom_host"]) == (1, 1, 1)
    assert found["oom_guest"] == "the guest has no kernel of its own that would kill"


def test_a_program_that_is_refused_more_was_not_killed() -> None:
    found = told(Promising(awk=counted(1, 50, code=1)))
    assert (found["memory_reached"], found["memory_kept"], found["memory_killed"]) == (50 * MIB, 1, 0)


def test_a_limit_that_does_not_hold_is_told() -> None:
    found = told(Promising(awk=counted(*range(1, 145)), crowd=counted(48)))
    assert (found["memory_reached"], found["memory_kept"]) == (144 * MIB, 0)
    assert found["memory_killed"] == "nothing stopped it: it held all of 144 MiB"
    assert (found["pids_reached"], found["pids_kept"]) == (3 + 1 + 48, 0)


def test_one_that_holds_more_than_the_limit_before_it_is_killed_was_not_kept() -> None:
    assert told(Promising(awk=counted(65, code=137)))["memory_kept"] == 0


def test_a_machine_is_asked_what_its_own_kernel_killed() -> None:
    held = Held(1.0, 64 * MIB, None, "machine", {"pids": "its own kernel decides"})
    found = told(
        Promising(held, awk=counted(60, code=137), cat=Completed(0, b"pgfault 9\noom_kill 4\n", b""))
    )
    assert found["oom_guest"] == 0
    assert found["oom_host"] == "the instance has no cgroup of its own that would tell"
    assert found["pids_reached"] == "its own kernel decides"


def test_no_more_processes_than_the_limit() -> None:
    found = told(Promising(crowd=counted(1, 28, code=2)))
    assert (found["pids_asked"], found["pids_reached"], found["pids_kept"]) == (32, 32, 1)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Completed(127, b"", b""), "the guest has no command 'awk'"),
        (Completed(2, b"", b"awk: bad"), "'awk' in the guest ended early with 2: awk: bad"),
        (Completed(0, b"\xff\x00", b""), "'awk' in the guest ended early with 0"),
        (Unavailable("no way in"), "no way in"),
        (StepFailed("it broke"), "'awk' cannot be run in the guest: it broke"),
    ],
)
def test_a_hog_that_does_not_run_gives_no_value(answer: object, reason: str) -> None:
    found = told(Promising(awk=answer))
    assert {found[name] for name in ("memory_reached", "memory_kept", "oom_host")} == {reason}


def test_a_host_short_of_memory_is_spared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "mem_available", lambda: 2**20)
    instance = Promising()
    assert "not tried" in str(told(instance)["memory_reached"])
    assert not [argv for argv in instance.asked if argv[0] == "awk"]


def test_absurd_limits_are_not_tried() -> None:
    instance = Promising(Held(1000.0, 2**60, 10**6, "cgroup"))
    found = told(instance)
    assert [found[name] for name in ("cpu_asked", "memory_asked", "pids_asked")] == [1000, 2**60, 10**6]
    assert all("not tried" in str(found[f"{name}_reached"]) for name in ("memory", "pids"))
    assert "not tried" in str(found["cpu_received"])
    assert instance.asked == []


def test_cpu_hogs_that_end_early_give_no_value() -> None:
    found = told(Promising(sh=Completed(2, b"", b"cannot fork")))
    assert found["cpu_received"] == "'sh' in the guest ended early with 2: cannot fork"
    assert found["cpu_asked"] == 1


def test_a_host_without_a_cpu_more_cannot_show_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene({}, GUEST, Promising(), MonotonicClock())
    received = 1.14
    monkeypatch.setattr(limits_cpu, "_received", lambda scene, cpus, lasting: received)
    assert list(limits_cpu.try_cpu(scene, HELD, 1.0))[-1] == Reading("cpu_kept", 1)
    received = 1.16
    assert list(limits_cpu.try_cpu(scene, HELD, 1.0))[-1] == Reading("cpu_kept", 0)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    what = "the limit of 1 CPUs cannot show: this host has 1"
    assert list(limits_cpu.try_cpu(scene, HELD, 1.0))[-1] == Absent("cpu_kept", what)


def test_a_guest_that_ends_at_its_limit_is_a_finding() -> None:
    found = [
        one for one in observe(Promising(awk=counted(9, code=137), dead=True)) if isinstance(one, Finding)
    ]
    assert [one.code for one in found] == ["limits.guest-ended"]


def test_kills_and_swap_of_both_versions(tmp_path: Path) -> None:
    assert isinstance(cgroups.kills(tmp_path), Unavailable)
    (tmp_path / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 5\n")
    (tmp_path / "memory.stat").write_text("swap 1\ntotal_swap 8192\n")
    assert (cgroups.kills(tmp_path), cgroups.swapped(tmp_path)) == (5, 8192)
    (tmp_path / "memory.events").write_text("oom 9\noom_kill 7\n")
    (tmp_path / "memory.swap.current").write_text("12288\n")
    assert (cgroups.kills(tmp_path), cgroups.swapped(tmp_path)) == (7, 12288)
