"""A limit on CPUs and hogs that want one more -> the CPU time that they received, by the host's count."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Final

from vmvc import cputimes
from vmvc.contract import Absent, Observation, Reading, Scene
from vmvc.contract import Limits as Held
from vmvc.errors import Unavailable
from vmvc.metrics import hogs
from vmvc.metrics.hogs import GRACE, Beside
from vmvc.metrics.limits_absent import UNTRIED, absent, failed, none

MOST_CPUS: Final = 64
"""CPUs up to which a limit is tried: a hog for each of them runs, and one more."""
PERIOD: Final = 0.1
"""Seconds in which a CPU quota is kept: the engines' default."""
TOLERANCE: Final = 0.05
"""Share by which more counts as kept still: hypervisors have threads of their own."""
LOOK: Final = 0.2
"""Seconds of one look whether the hogs have begun."""
BEGUN: Final = 10.0
"""Seconds in which hogs begin, also in a slow guest."""


def try_cpu(scene: Scene, held: Held, lasting: float) -> Iterator[Observation]:
    """Let one hog more run than the guest has CPUs, and count its CPU time for ``lasting`` seconds."""
    if held.cpus is None:
        yield from none(("cpu_asked", "cpu_received", "cpu_kept"), held, "cpus")
        return
    yield Reading("cpu_asked", held.cpus)
    received = _received(scene, held.cpus, lasting)
    if isinstance(received, Unavailable):
        yield from absent(("cpu_received", "cpu_kept"), received.what)
        return
    yield Reading("cpu_received", received)
    there = os.cpu_count() or 1
    if held.cpus >= there:
        what = f"the limit of {held.cpus:g} CPUs cannot show: this host has {there}"
        yield Absent("cpu_kept", what)
    else:
        most = held.cpus * (1 + TOLERANCE) + PERIOD / lasting
        yield Reading("cpu_kept", int(received <= most))


def _received(scene: Scene, cpus: float, lasting: float) -> float | Unavailable:
    """Return the CPU seconds per second of the instance while hogs run in it."""
    if cpus > MOST_CPUS:
        return Unavailable(UNTRIED.format("CPU") + f": it is over {MOST_CPUS}")
    instance, clock = scene.instance, scene.clock
    count = math.floor(cpus) + 1
    seconds = math.ceil(lasting + BEGUN)
    with Beside(instance, hogs.spin(seconds, count), seconds + GRACE) as hog:
        try:
            begin = clock.now()
            while hog.running and clock.now() - begin < BEGUN * 1e9 / 2:
                if _rate(scene, LOOK) >= 0.5 * min(1.0, cpus):
                    break
            rate = _rate(scene, lasting)
            if not hog.running:
                ended = hog.ended()
                return ended if isinstance(ended, Unavailable) else failed("sh", ended)
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
