"""Phases and memory on real engines, against the engine's stamps, the guest's clock and known bytes."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest

from tests.real.virsh import virsh
from vmvc import owner
from vmvc.backends.docker import DockerBackend
from vmvc.backends.docker_client import DockerOptions
from vmvc.backends.libvirt import LibvirtBackend, LibvirtOptions
from vmvc.backends.process import ProcessBackend
from vmvc.contract import (
    Absent,
    Backend,
    Event,
    Guest,
    Metric,
    MonotonicClock,
    Observes,
    Options,
    Quantity,
    Reading,
    Scene,
    Tag,
)
from vmvc.job import Job, Outcome
from vmvc.metrics.memory import Memory, MemoryOptions
from vmvc.metrics.shutdown import Shutdown
from vmvc.metrics.startup import Startup
from vmvc.spec import BUILT_IN_IMAGES, Exec, Http, Ready, ReadyExec, ReadyHttp
from vmvc.trial import Trial

MIB = 2**20
CLOCK = MonotonicClock()
HTTP = ReadyHttp(http=Http(port=80))

pytestmark = pytest.mark.xdist_group("bare host")


@contextmanager
def prepared(backend: Backend, guest: Guest) -> Iterator[Backend]:
    backend.prepare(guest)
    yield backend
    backend.close()


def guest(*command: str, ready: Ready = HTTP) -> Guest:
    return Guest(BUILT_IN_IMAGES["tiny"], cpus=1, memory=256 * MIB, ready=ready, command=command or None)


def live(backend: Backend, asked: Guest, *metrics: Metric, stop_timeout: float = 60.0) -> tuple[Tag, Outcome]:
    tag = Tag(f"phases-{secrets.token_hex(4)}", 1, owner.current())
    asking = (Startup(Options()), Shutdown(Options()), *metrics)
    job = Job(tag, backend, asked, asking, 120.0, stop_timeout)
    outcome = Trial(job, lambda step, seconds: None, CLOCK).run()
    assert outcome.failure is None, outcome.failure
    return tag, outcome


def values(outcome: Outcome) -> dict[str, float]:
    return {one.quantity: one.value for _, one in outcome.readings}


def reasons(outcome: Outcome) -> dict[str, str]:
    return {one.quantity: one.reason for _, one in outcome.absent}


def between(outcome: Outcome, first: str, last: str) -> float:
    return (outcome.events[last].at - outcome.events[first].at) / 1e9


# --- containers and processes -----------------------------------------------------------------------------


@pytest.mark.real("docker")
def test_phases_of_a_container_are_those_of_docker_events() -> None:
    asked = guest("sh", "-c", "trap 'sleep 1; exit 7' TERM; httpd -f -p 80 -h /www & wait $!")
    begun = time.time()
    with prepared(DockerBackend("docker", DockerOptions()), asked) as backend:
        tag, outcome = live(backend, asked)
    said = subprocess.run(
        [
            "docker",
            "events",
            "--format",
            "{{json .}}",
            "--since",
            f"{begun:.9f}",
            "--until",
            f"{time.time():.9f}",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    told = [json.loads(line) for line in said.splitlines()]
    (container,) = {one["Actor"]["ID"] for one in told if one["Actor"]["Attributes"].get("name") == tag.name}
    stamps = {
        one["Action"]: one["timeNano"]
        for one in told
        if one["Actor"]["ID"] == container or one["Actor"]["Attributes"].get("container") == container
    }
    pairs = [("network", "connect"), ("exec", "start"), ("stopped", "die")]
    for (first, one), (last, other) in pairwise(pairs):
        theirs = (stamps[other] - stamps[one]) / 1e9
        assert between(outcome, first, last) == pytest.approx(theirs, abs=0.15), (first, last)
    order = (
        "requested",
        "created",
        "network",
        "exec",
        "started",
        "ready",
        "stop_requested",
        "stopped",
        "gone",
    )
    assert [name for name in order if name in outcome.events] == list(order)
    instants = [outcome.events[name].at for name in order]
    assert instants == sorted(instants)
    found = values(outcome)
    assert found["stopped"] == pytest.approx(1, abs=0.6)
    assert (found["code"], found["orderly"]) == (7, 1)
    assert reasons(outcome)["kernel"] == "a container runs on a kernel that is up already"


@pytest.mark.real("docker")
def test_a_container_without_a_network_of_its_own_has_no_such_phase() -> None:
    asked = guest("sleep", "600", ready=ReadyExec(exec=Exec(command=("true",))))
    with prepared(DockerBackend("docker", DockerOptions(network="none")), asked) as backend:
        _, outcome = live(backend, asked, stop_timeout=1)
    assert "gets no interface of its own" in reasons(outcome)["network"]
    assert "exec" in values(outcome)
    assert values(outcome)["orderly"] == 0, "process 1 ignores signals that it has no handler for"
    for name in ("stopped", "gone", "code"):
        assert "did not end within 1 s" in reasons(outcome)[name]


@pytest.mark.real("root")
@pytest.mark.parametrize(
    ("script", "code"),
    [("exec sleep 600", 143), ("trap 'exit 0' TERM; while :; do sleep 0.01; done", 0)],
    ids=["ended by the signal", "handled"],
)
def test_what_a_process_did_with_the_signal(script: str, code: int) -> None:
    asked = guest("sh", "-c", script, ready=ReadyExec(exec=Exec(command=("true",))))
    with prepared(ProcessBackend("host", ProcessBackend.options_model()), asked) as backend:
        _, outcome = live(backend, asked)
    assert values(outcome)["code"] == code
    assert outcome.events["created"].at < outcome.events["exec"].at <= outcome.events["started"].at
    assert outcome.events["stop_requested"].at < outcome.events["stopped"].at <= outcome.events["gone"].at


# --- a machine --------------------------------------------------------------------------------------------


class Inside(Metric):
    """Looks at the guest's own clock, and at its memory before and after it holds 64 MiB more."""

    name = "inside"
    says = "for this test"
    observes = Observes.READY
    quantities: tuple[Quantity, ...] = ()
    # dd fills its buffer and then waits for a reader, which takes one byte as the proof.
    HOLDS = (
        "mkfifo /full; exec 3<>/full; dd if=/dev/zero of=/full bs=64M count=1 2>/dev/null & "
        "dd bs=1 count=1 of=/dev/null <&3 2>/dev/null; sleep 600 <&3 >/dev/null 2>&1 &"
    )

    def observe(self, scene: Scene) -> Iterable[Reading | Absent]:
        instance = scene.instance
        self.log = instance.run(["dmesg"], timeout=60).stdout.decode()
        self.less = self._memory(scene)
        assert instance.run(["sh", "-c", self.HOLDS], timeout=60).returncode == 0
        self.more = self._memory(scene)
        lines = virsh("dommemstat", instance.tag.name).splitlines()
        self.told = {name: int(kib) * 1024 for name, kib in map(str.split, filter(None, lines))}
        return ()

    def _memory(self, scene: Scene) -> dict[str, float]:
        ready = Event(CLOCK.now())
        seen = Scene({"ready": ready}, scene.guest, scene.instance, CLOCK, 0)
        found = Memory(MemoryOptions(settle=0.0)).observe(seen)
        return {one.quantity: one.value for one in found if isinstance(one, Reading)}


def _stamp(line: str, log: str) -> float:
    """Return when the guest's kernel logged a line, in nanoseconds of its own clock."""
    found = re.search(rf"^\[ *([0-9.]+)\] {line}", log, re.MULTILINE)
    assert found is not None, log
    return float(found[1]) * 1e9


@pytest.mark.real("libvirt")
@pytest.mark.quiet  # Other machines share QEMU's own pages, and come and go: pss would tell of them.
def test_a_machine_boots_when_its_own_clock_says_and_holds_what_its_guest_holds() -> None:
    asked, inside = guest(), Inside(Options())
    backend = LibvirtBackend("kvm", LibvirtOptions(uri="qemu:///system", machine="microvm"))
    with prepared(backend, asked):
        _, outcome = live(backend, asked, inside)

    events = {name: event.at for name, event in outcome.events.items()}
    order = ("requested", "created", "console", "kernel", "init", "network", "exec", "ready")
    instants = [events[name] for name in order]
    assert instants == sorted(instants)
    assert events["created"] < events["started"] < events["init"]
    # Its first line waits for the console. An emulated guest's clock may lose time on a busy host.
    booted = _stamp("Run /init as init process", inside.log) - _stamp(
        r".*console \[ttyS0\] enabled", inside.log
    )
    assert booted - 0.1e9 < events["init"] - events["kernel"] < 4 * booted + 2e9
    assert (values(outcome)["code"], values(outcome)["orderly"]) == (0, 1)
    assert events["stop_requested"] < events["stopped"] < events["gone"]

    less, more = inside.less, inside.more
    assert more["guest_used"] - less["guest_used"] == pytest.approx(64 * MIB, abs=8 * MIB)
    # Some of it lies in memory that the guest had used before: that is the host's loss already.
    for name in ("rss", "pss", "uss"):
        assert 24 * MIB < more[name] - less[name] < 84 * MIB, name
    assert more["rss"] == pytest.approx(inside.told["rss"], abs=4 * MIB)
    assert inside.told.get("actual", asked.memory) == asked.memory, "no balloon takes anything back"
    assert more["shared_pss"] > 0
