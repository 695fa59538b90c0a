"""A ready instance and its limits -> what it was given when it asked for more: CPU time, memory, processes.

Hogs run in the guest and ask for a little more than the limit; the host's own counters say what they got.
Where the platform sets no limit none is tried: the host would be what is harmed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil
from pydantic import Field

from vmvc import cgroups, cputimes, host
from vmvc.contract import (
    Absent,
    Completed,
    Finding,
    Instance,
    Metric,
    Observation,
    Observes,
    Options,
    Quantity,
    Reading,
    Scene,
    Severity,
)
from vmvc.contract import (
    Limits as Held,
)
from vmvc.errors import Unavailable
from vmvc.metrics import hogs
from vmvc.metrics.hogs import GRACE, MIB, Beside
from vmvc.units import Duration, show_bytes

MOST_CPUS: Final = 64
"""CPUs up to which a limit is tried: a hog for each of them runs, and one more."""
MORE: Final = 1.25
"""How much of its memory limit a hog tries to hold, besides 64 MiB."""
MOST_PIDS: Final = 4096
"""A limit of more processes is not tried: they would be a load on the host."""
PERIOD: Final = 0.1
"""Seconds in which a CPU quota is kept: the engines' default."""
TOLERANCE: Final = 0.05
"""Share by which more counts as kept still: hypervisors have threads of their own."""
LOOK: Final = 0.05
"""Seconds between two looks at the host's counters."""
BEGUN: Final = 10.0
"""Seconds in which hogs begin, also in a slow guest."""
KILLED: Final = 128 + 9

_NO_KEY: Final = "no limit is set: vmvc's language has no key for one"
_YOURS: Final = "a machine that exists already may hold what matters: no hog is let loose in it"
_UNTRIED: Final = "the limit on {} was not tried"


class LimitsOptions(Options):
    """Options of the metric."""

    hog: Duration = Field(
        default=3.0, gt=0, le=60, description="How long CPU hogs run while their CPU time is counted."
    )


class Limits(Metric):
    """Does the isolation keep its promise? What was asked for, and what a hog in the guest received."""

    name = "limits"
    says = "limits on CPU, memory and processes: what was asked for, and what a hog in the guest received"
    needs = "an instance with limits, and a way into it with `sh`"
    observes = Observes.READY
    loads_guest = True
    runs_inside = True
    options_model = LimitsOptions
    options: LimitsOptions
    quantities = (
        Quantity("cpu_asked", "1", "neutral", "CPUs that the guest is held to."),
        Quantity(
            "cpu_received",
            "1",
            "neutral",
            "CPU seconds per second of the instance's processes, by the host's count, while one hog more ran "
            "than the guest has CPUs.",
        ),
        Quantity("cpu_kept", "1", "higher", "1 where that was at most 5% over the limit; else 0."),
        Quantity("memory_asked", "B", "neutral", "Bytes of memory that the guest is held to."),
        Quantity(
            "memory_reached",
            "B",
            "neutral",
            "Bytes that one program in the guest held when it could go no further.",
        ),
        Quantity(
            "memory_kept",
            "1",
            "higher",
            "1 where the program was stopped before it held more than the limit; else 0.",
        ),
        Quantity(
            "memory_killed",
            "1",
            "neutral",
            "1 where the program was killed at the limit; 0 where it was refused more.",
        ),
        Quantity(
            "memory_swapped", "B", "lower", "Most bytes of the instance that the host had in swap meanwhile."
        ),
        Quantity(
            "oom_host",
            "1",
            "neutral",
            "Processes that the host's kernel killed for the limit of the instance's cgroup.",
        ),
        Quantity(
            "oom_guest", "1", "neutral", "Processes that the guest's own kernel killed for want of memory."
        ),
        Quantity("pids_asked", "1", "neutral", "Processes and threads that the guest is held to."),
        Quantity(
            "pids_reached",
            "1",
            "neutral",
            "Processes and threads there were when no further one could be started.",
        ),
        Quantity("pids_kept", "1", "higher", "1 where these were at most the limit; else 0."),
        Quantity("disk_rate_asked", "B/s", "neutral", "Bytes per second to disk that the guest is held to."),
        Quantity(
            "network_rate_asked", "B/s", "neutral", "Bytes per second of network that the guest is held to."
        ),
    )

    def seconds(self) -> float:
        return self.options.hog + 2.0

    def observe(self, scene: Scene) -> Iterator[Observation]:
        """Try one limit after the other, that on processes last: those that it starts live on for a while.

        Raises: GuestDied.
        """
        instance = scene.instance
        try:
            held = instance.limits() if scene.guest.machine is None else _nothing(_YOURS)
        except Unavailable as reason:
            held = _nothing(reason.what)
        yield from self._cpu(scene, held)
        yield from _memory(scene, held)
        yield from _pids(instance, held)
        yield Absent("disk_rate_asked", _NO_KEY)
        yield Absent("network_rate_asked", _NO_KEY)

    # --- CPU ----------------------------------------------------------------------------------------------

    def _cpu(self, scene: Scene, held: Held) -> Iterator[Observation]:
        if held.cpus is None:
            yield from _none(("cpu_asked", "cpu_received", "cpu_kept"), held, "cpus")
            return
        yield Reading("cpu_asked", held.cpus)
        received = self._received(scene, held.cpus)
        if isinstance(received, Unavailable):
            yield from _absent(("cpu_received", "cpu_kept"), received.what)
            return
        yield Reading("cpu_received", received)
        there = os.cpu_count() or 1
        if held.cpus >= there:
            what = f"the limit of {held.cpus:g} CPUs cannot show: this host has {there}"
            yield Absent("cpu_kept", what)
        else:
            most = held.cpus * (1 + TOLERANCE) + PERIOD / self.options.hog
            yield Reading("cpu_kept", int(received <= most))

    def _received(self, scene: Scene, cpus: float) -> float | Unavailable:
        """Return the CPU seconds per second of the instance while hogs run in it."""
        if cpus > MOST_CPUS:
            return Unavailable(_UNTRIED.format("CPU") + f": it is over {MOST_CPUS}")
        instance, clock = scene.instance, scene.clock
        count = math.floor(cpus) + 1
        seconds = math.ceil(self.options.hog + BEGUN)
        with Beside(instance, hogs.spin(seconds, count), seconds + GRACE) as hog:
            try:
                begin = clock.now()
                while hog.running and clock.now() - begin < BEGUN * 1e9 / 2:
                    if _rate(scene, LOOK * 4) >= 0.5 * min(1.0, cpus):
                        break
                rate = _rate(scene, self.options.hog)
                if not hog.running:
                    ended = hog.ended()
                    return ended if isinstance(ended, Unavailable) else _failed("sh", ended)
            except Unavailable as reason:
                return reason
            return rate


def _rate(scene: Scene, seconds: float) -> float:
    """Return the CPU seconds per second of the instance's own processes.

    Raises: Unavailable.
    """
    pids = scene.instance.processes().own
    before, began = cputimes.look(pids), scene.clock.now()
    scene.clock.sleep(seconds)
    after, ended = cputimes.look(pids), scene.clock.now()
    return cputimes.used(before, after) / ((ended - began) / 1e9)


# --- processes --------------------------------------------------------------------------------------------


def _pids(instance: Instance, held: Held) -> Iterator[Observation]:
    if held.pids is None:
        yield from _none(("pids_asked", "pids_reached", "pids_kept"), held, "pids")
        return
    yield Reading("pids_asked", held.pids)
    reached = _crowd(instance, held.pids)
    if isinstance(reached, Unavailable):
        yield from _absent(("pids_reached", "pids_kept"), reached.what)
        return
    yield Reading("pids_reached", reached)
    yield Reading("pids_kept", int(reached <= held.pids))


def _crowd(instance: Instance, limit: int) -> int | Unavailable:
    """Return how many tasks there were when no more could be started."""
    if limit > MOST_PIDS:
        return Unavailable(_UNTRIED.format("processes") + f": it is over {MOST_PIDS}")
    try:
        before = _tasks(instance)
    except Unavailable as reason:
        return reason
    ended = hogs.run(instance, hogs.crowd(limit + 16), GRACE)
    if isinstance(ended, Unavailable):
        return ended
    started = hogs.last_number(ended)
    # The shell that starts them is one of them.
    return before + 1 + started if started else _failed("sh", ended)


def _tasks(instance: Instance) -> int:
    """Return the number of tasks of the instance's own processes.

    Raises: Unavailable.
    """
    count = 0
    for pid in instance.processes().own:
        try:
            count += sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())
        except OSError:
            continue  # it has ended meanwhile
    return count


# --- memory -----------------------------------------------------------------------------------------------


def _memory(scene: Scene, held: Held) -> Iterator[Observation]:
    rest = ("memory_reached", "memory_kept", "memory_killed", "memory_swapped", "oom_host", "oom_guest")
    if held.memory is None:
        yield from _none(("memory_asked", *rest), held, "memory")
        return
    yield Reading("memory_asked", held.memory)
    most = math.ceil(held.memory * MORE / MIB) + 64
    floor = host.memory_floor(psutil.virtual_memory().total)
    if host.mem_available() - most * MIB < floor:
        why = f"{show_bytes(most * MIB)} more would leave less than {show_bytes(floor)} of the host's free"
        yield from _absent(rest, f"{_UNTRIED.format('memory')}: {why}")
        return
    instance = scene.instance
    guest_before, host_before = _guest_kills(instance, held), _host_kills(instance)
    peak = _Swap(instance)
    with Beside(instance, hogs.fill(most), scene.timeout) as hog:
        while hog.running:
            peak.look()
            scene.clock.sleep(LOOK)
        ended = hog.ended()
    if isinstance(ended, Unavailable):
        yield from _absent(rest, ended.what)
        return
    reached = hogs.last_number(ended)
    if not reached:
        yield from _absent(rest, _failed("awk", ended).what)
        return
    yield Reading("memory_reached", reached * MIB)
    yield Reading("memory_kept", int(reached * MIB <= held.memory and ended.returncode != 0))
    if ended.returncode:
        yield Reading("memory_killed", int(ended.returncode == KILLED))
    else:
        yield Absent("memory_killed", f"nothing stopped it: it held all of {show_bytes(reached * MIB)}")
    yield _or_absent("memory_swapped", peak.most)
    yield _or_absent("oom_host", _less(_host_kills(instance), host_before))
    yield _or_absent("oom_guest", _less(_guest_kills(instance, held), guest_before))
    if not instance.alive():
        how = instance.epitaph()
        yield Finding(
            "limits.guest-ended",
            Severity.WARNING,
            f"the guest itself ended at its memory limit{f' ({how})' if how else ''}",
            "see whom the kernel's log names as the victim",
        )


class _Swap:
    """The most that the host has had of an instance in swap, over some looks."""

    def __init__(self, instance: Instance) -> None:
        self.most: int | Unavailable
        self._folder: Path | None = None
        try:
            self._folder = instance.cgroup()
            self.most = Unavailable("the instance has no cgroup of its own that would tell")
        except Unavailable as reason:
            self.most = reason

    def look(self) -> None:
        if self._folder is None:
            return
        now = cgroups.swapped(self._folder)
        known = self.most
        if isinstance(known, Unavailable) or (not isinstance(now, Unavailable) and now > known):
            self.most = now


def _host_kills(instance: Instance) -> int | Unavailable:
    try:
        folder = instance.cgroup()
    except Unavailable as reason:
        return reason
    if folder is None:
        return Unavailable("the instance has no cgroup of its own that would tell")
    return cgroups.kills(folder)


def _guest_kills(instance: Instance, held: Held) -> int | Unavailable:
    """Return how many processes the guest's own kernel has killed since its boot.

    Raises: GuestDied.
    """
    if held.held_by != "machine":
        return Unavailable("the guest has no kernel of its own that would kill")
    ended = hogs.run(instance, ["cat", "/proc/vmstat"], GRACE)
    if isinstance(ended, Unavailable):
        return ended
    for line in ended.stdout.decode(errors="replace").splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill":
            return int(value)
    return Unavailable("the guest's kernel counts no kills in /proc/vmstat")


def _less(after: int | Unavailable, before: int | Unavailable) -> int | Unavailable:
    if isinstance(before, Unavailable):
        return before
    return after if isinstance(after, Unavailable) else after - before


# --- what is not there ------------------------------------------------------------------------------------


def _nothing(reason: str) -> Held:
    return Held(absent=dict.fromkeys(("cpus", "memory", "pids"), reason))


def _none(names: tuple[str, ...], held: Held, limit: str) -> Iterator[Absent]:
    yield from _absent(names, held.absent.get(limit) or "the backend does not say whether there is a limit")


def _absent(names: tuple[str, ...], reason: str) -> Iterator[Absent]:
    for name in names:
        yield Absent(name, reason)


def _or_absent(name: str, value: int | Unavailable) -> Reading | Absent:
    return Absent(name, value.what) if isinstance(value, Unavailable) else Reading(name, value)


def _failed(name: str, ended: Completed) -> Unavailable:
    said = " ".join(ended.stderr.decode(errors="replace").split())[-200:]
    return Unavailable(f"'{name}' in the guest ended early with {ended.returncode}: {said}".rstrip(": "))
