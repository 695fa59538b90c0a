"""This instant -> what changes by the minute on a host."""

from __future__ import annotations

import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from vmvc.host import counters, neighbours
from vmvc.host.counters import Noise
from vmvc.host.description import mem_available
from vmvc.host.files import text

WINDOW: Final = 0.2
"""Least seconds between the two looks that show the steal of now: some tens of ticks."""
CPU_SENSORS: Final = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "cpu-thermal", "soc_thermal")
"""Drivers whose sensors are in the CPU."""


@dataclass(frozen=True, slots=True)
class State:
    """What changes by the minute; ``free``: folder -> bytes that may still be written there.

    ``runnable``: tasks beside this one that run or want to. ``steal``: share of the CPU time that was stolen
    since boot, ``steal_now``: just now. ``throttled``: times since boot. ``hottest``: degrees Celsius of the
    CPU sensor that is closest to its limit, and that limit. ``guests``: program -> number of containers or
    machines that it runs. ``clocks``: programs that steer the clock.
    """

    threads: int
    memory: int
    available: int
    swap_used: int
    load: float | None = None
    steal: float | None = None
    free: Mapping[str, int] = field(default_factory=dict)
    runnable: float | None = None
    steal_now: float | None = None
    throttled: int | None = None
    hottest: tuple[float, float] | None = None
    guests: Mapping[str, int] = field(default_factory=dict)
    clocks: tuple[str, ...] = ()


def look(since: Noise | None = None) -> State:
    """Return the state of this host; steal is that since ``since``, else of a moment that this takes."""
    runnable = _runnable()
    before = since or counters.noise()
    names = neighbours.programs().values()
    memory, times = psutil.virtual_memory(), psutil.cpu_times()
    stolen = getattr(times, "steal", None)
    threads = psutil.cpu_count() or 1
    return State(
        threads=threads,
        memory=memory.total,
        available=mem_available(),
        swap_used=psutil.swap_memory().used,
        load=counters.load(),
        steal=None if stolen is None else stolen / sum(times[:8]),
        free=dict(_free(Path.cwd, lambda: Path(tempfile.gettempdir()))),
        runnable=runnable,
        throttled=counters.throttled(),
        hottest=_hottest(),
        guests=neighbours.guests(names),
        clocks=neighbours.clocks(names),
        steal_now=_steal(before, threads),
    )


def _steal(before: Noise, threads: int) -> float | None:
    """Return the share of the CPU time that was stolen since ``before``, cut down by the counter's tick."""
    if before.steal is None:
        return None
    time.sleep(max(0.0, WINDOW - (time.monotonic() - before.at)))
    after = counters.noise()
    stolen = (after.steal or 0.0) - before.steal - counters.tick()
    return max(0.0, stolen) / ((after.at - before.at) * threads)


def _runnable(root: Path = Path("/"), times: int = 5) -> float | None:
    """Return the middle of some counts of the tasks that run or want to, without the one that counts."""
    counts = []
    for _ in range(times):
        found = re.search(r"^procs_running ([0-9]+)$", text(root / "proc/stat") or "", re.MULTILINE)
        if found is None:
            return None
        counts.append(max(0, int(found[1]) - 1))
        time.sleep(0.002)
    return statistics.median(counts)


def _hottest() -> tuple[float, float] | None:
    sensors = psutil.sensors_temperatures() if hasattr(psutil, "sensors_temperatures") else {}
    shown = [
        (one.current, limit)
        for chip in CPU_SENSORS
        for one in sensors.get(chip, ())
        if (limit := one.critical or one.high) and one.current
    ]
    return min(shown, key=lambda one: one[1] - one[0], default=None)


def _free(*folders: Callable[[], Path]) -> Iterator[tuple[str, int]]:
    """Yield folders with their free bytes, one of each file system."""
    seen = set()
    for folder in folders:
        try:
            path = folder()
            device, usage = path.stat().st_dev, psutil.disk_usage(str(path))
        except OSError:
            continue
        if device not in seen:
            seen.add(device)
            yield str(path), usage.free
