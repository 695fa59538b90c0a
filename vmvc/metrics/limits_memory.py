"""A limit on memory and a program that wants more -> what it held, and who ended it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

from vmvc import cgroups, host
from vmvc.contract import Absent, Finding, Instance, Observation, Reading, Scene, Severity
from vmvc.contract import Limits as Held
from vmvc.errors import Unavailable
from vmvc.metrics import hogs
from vmvc.metrics.hogs import GRACE, MIB, Beside
from vmvc.metrics.limits_absent import UNTRIED, absent, failed, none, or_absent
from vmvc.units import show_bytes

MORE: Final = 1.25
"""How much of its memory limit a hog tries to hold, besides 64 MiB."""
KILLED: Final = 128 + 9
LOOK: Final = 0.05
"""Seconds between two looks at the swap that the host has of the instance."""


def try_memory(scene: Scene, held: Held) -> Iterator[Observation]:
    """Let one program hold more and more until it is stopped, or has more than the limit."""
    rest = ("memory_reached", "memory_kept", "memory_killed", "memory_swapped", "oom_host", "oom_guest")
    if held.memory is None:
        yield from none(("memory_asked", *rest), held, "memory")
        return
    yield Reading("memory_asked", held.memory)
    most = math.ceil(held.memory * MORE / MIB) + 64
    floor = host.memory_floor(psutil.virtual_memory().total)
    if host.mem_available() - most * MIB < floor:
        why = f"{show_bytes(most * MIB)} more would leave less than {show_bytes(floor)} of the host's free"
        yield from absent(rest, f"{UNTRIED.format('memory')}: {why}")
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
        yield from absent(rest, ended.what)
        return
    reached = hogs.last_number(ended)
    if not reached:
        yield from absent(rest, failed("awk", ended).what)
        return
    yield Reading("memory_reached", reached * MIB)
    yield Reading("memory_kept", int(reached * MIB <= held.memory and ended.returncode != 0))
    if ended.returncode:
        yield Reading("memory_killed", int(ended.returncode == KILLED))
    else:
        yield Absent("memory_killed", f"nothing stopped it: it held all of {show_bytes(reached * MIB)}")
    yield or_absent("memory_swapped", peak.most)
    yield or_absent("oom_host", _less(_host_kills(instance), host_before))
    yield or_absent("oom_guest", _less(_guest_kills(instance, held), guest_before))
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
