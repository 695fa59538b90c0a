"""Limits on the real engines: known hogs against the host's own counters, and broken promises."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from vmvc import owner, probes, registry
from vmvc.contract import Absent, Guest, Instance, MonotonicClock, Reading, Scene, Tag
from vmvc.metrics import limits_cpu
from vmvc.metrics.limits import Limits, LimitsOptions
from vmvc.spec import BUILT_IN_IMAGES, Exec, ReadyExec

pytestmark = [pytest.mark.real("docker", "root"), pytest.mark.timeout(300), pytest.mark.quiet]

MIB = 2**20
CLOCK = MonotonicClock()
GUEST = Guest(
    BUILT_IN_IMAGES["tiny"],
    cpus=1,
    memory=96 * MIB,
    pids=48,
    ready=ReadyExec(exec=Exec(command=("true",))),
    command=("sh", "-c", "while :; do sleep 1; done"),
)


@contextmanager
def live(kind: str, guest: Guest = GUEST) -> Iterator[Instance]:
    """Give a ready instance; it is gone afterwards."""
    made = registry.backend_class(kind)
    backend = made(kind, made.options_model())
    backend.prepare(guest)
    instance = backend.instance(Tag(f"limits-{secrets.token_hex(4)}", 1, owner.current()), guest)
    try:
        instance.create()
        instance.start()
        # A machine whose console nobody reads stops at its serial port.
        with closing(probes.ConsoleTap(instance.console(), CLOCK)) as tap:
            probes.wait(guest.ready, instance, tap, CLOCK, CLOCK.now() + 150 * 10**9)
            yield instance
    finally:
        instance.destroy()
        backend.close()


def told(instance: Instance, hog: float = 1.0) -> Mapping[str, float | str]:
    found = Limits(LimitsOptions(hog=hog)).observe(Scene({}, GUEST, instance, CLOCK))
    return {
        one.quantity: one.reason if isinstance(one, Absent) else one.value
        for one in found
        if isinstance(one, Absent | Reading)
    }


def used(instance: Instance) -> float:
    """Return the CPU seconds of the container's cgroup, which the metric does not read."""
    memory = instance.cgroup()
    assert memory is not None
    old = Path(str(memory).replace("/memory/", "/cpuacct/"), "cpuacct.usage")
    if old.exists():
        return int(old.read_text()) / 1e9
    text = dict(line.split() for line in (memory / "cpu.stat").read_text().splitlines())
    return int(text["usage_usec"]) / 1e6


def test_a_container_is_held_to_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    both: list[tuple[float, float]] = []
    look = limits_cpu._rate

    def watched(scene: Scene, seconds: float) -> float:
        before, began = used(scene.instance), time.monotonic()
        rate = look(scene, seconds)
        both.append((rate, (used(scene.instance) - before) / (time.monotonic() - began)))
        return rate

    monkeypatch.setattr(limits_cpu, "_rate", watched)
    with live("docker") as instance:
        found = told(instance)
        assert instance.alive()
    ours, cgroup = both[-1]
    assert found["cpu_received"] == ours == pytest.approx(cgroup, rel=0.1, abs=0.03)
    assert 0.05 < ours <= 1.15
    assert (found["cpu_asked"], found["memory_asked"], found["pids_asked"]) == (1, 96 * MIB, 48)
    assert found["cpu_kept"] in (1, "the limit of 1 CPUs cannot show: this host has 1")
    assert 80 * MIB < float(found["memory_reached"]) <= 96 * MIB
    assert (found["memory_kept"], found["memory_killed"], found["oom_host"]) == (1, 1, 1)
    assert (found["pids_reached"], found["pids_kept"]) == (48, 1)


def test_a_broken_promise_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine says less than it holds the container to."""
    with live("docker") as instance:
        held = instance.limits()
        assert (held.cpus, held.memory, held.pids, held.held_by) == (1.0, 96 * MIB, 48, "cgroup")
        less = replace(held, cpus=0.01, memory=32 * MIB, pids=16)
        monkeypatch.setattr(instance, "limits", lambda: less)
        found = told(instance)
    assert [found[f"{name}_kept"] for name in ("cpu", "memory", "pids")] == [0, 0, 0]
    assert float(found["memory_reached"]) > 80 * MIB


def test_the_bare_host_promises_nothing() -> None:
    with live("process", replace(GUEST, pids=None)) as instance:
        found = told(instance)
    assert {found[name] for name in ("cpu_received", "memory_reached", "pids_reached")} == {
        "the bare host limits nothing"
    }


@pytest.mark.real("libvirt")
def test_a_machine_is_held_to_its_size() -> None:
    with live("libvirt") as instance:
        found = told(instance)
        assert instance.alive()
    assert 0.05 < float(found["cpu_received"]) < 1.5
    assert 16 * MIB < float(found["memory_reached"]) < 96 * MIB
    assert (found["memory_kept"], found["memory_killed"], found["oom_guest"]) == (1, 1, 1)
    assert found["pids_reached"] == "no limit is set: the guest's own kernel decides"
