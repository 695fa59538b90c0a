"""Two looks at the counters of the whole host -> what it did in between, and what of it spoils a trial."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

import psutil

from vmvc.contract import Finding, Severity
from vmvc.host.files import number, text
from vmvc.units import show_seconds

STOLEN: Final = 0.01
"""Share of the CPU time of a trial above which steal is a finding: durations may be longer by as much."""
PRESSED: Final = 0.1
"""Share of a trial in which some task waited for a CPU, above which that is a finding.

What waits on the critical path for a share p of the time makes a duration longer by up to p / (1 - p): here
by a ninth, which is as much as ten trials can tell apart on a quiet host.

Source: Linux Documentation/accounting/psi.rst (``some``).
"""


STEPPED: Final = 0.5
"""Seconds by which the wall clock was set, over which that is told; a clock that is slewed stays below."""
SLEPT: Final = 0.01
"""Seconds of sleep that are a finding; two clocks are read a few microseconds apart."""
_LOOKS: Final = 5
_AWAKE: Final = "keep the host awake while it measures (systemd-inhibit vmvc run ...)"


@dataclass(frozen=True, slots=True)
class Noise:
    """Counters of the whole host at one instant; ``pressure``: resource -> seconds since boot.

    ``throttled``: how often since boot a CPU was slowed down for heat. ``wall``: seconds by which the wall
    clock is ahead of the monotonic one. ``slept``: seconds since boot in which the host was suspended.
    """

    at: float
    context_switches: int
    steal: float | None
    load: float | None
    pressure: Mapping[str, float]
    throttled: int | None = None
    wall: float | None = None
    slept: float | None = None


def noise() -> Noise:
    """Look at the host's counters; takes well under a millisecond on a host of few CPUs."""
    return Noise(
        at=monotonic(),
        context_switches=psutil.cpu_stats().ctx_switches,
        steal=getattr(psutil.cpu_times(), "steal", None),
        load=load(),
        pressure={
            name: stalled for name in ("cpu", "memory", "io") if (stalled := _pressure(name)) is not None
        },
        throttled=throttled(),
        wall=time.time() - monotonic(),
        slept=slept(),
    )


def noise_between(before: Noise, after: Noise) -> dict[str, float]:
    """Return what the host did in between, by name, the guest's own doing included.

    ``seconds``: how long that was. ``steal_s``: seconds that the hypervisor took away, summed over the CPUs,
    counted in ticks of 10 ms. ``cpu_pressure_s``, ``memory_pressure_s``, ``io_pressure_s``: seconds in which
    some task waited for the resource. ``context_switches``, ``throttle_events``: their number.
    ``load_before``, ``load_after``: the average of the last minute. ``clock_step_s``: by how much the wall
    clock was set forward, not counting what it went on in a sleep. ``suspended_s``: seconds in which the host
    slept, which no other figure counts.
    """
    found = {
        "seconds": after.at - before.at,
        "context_switches": float(after.context_switches - before.context_switches),
    }
    if before.steal is not None and after.steal is not None:
        found["steal_s"] = round(after.steal - before.steal, 2)
    for name, stalled in before.pressure.items():
        if name in after.pressure:
            found[f"{name}_pressure_s"] = round(after.pressure[name] - stalled, 6)
    if before.load is not None and after.load is not None:
        found |= {"load_before": before.load, "load_after": after.load}
    if before.throttled is not None and after.throttled is not None:
        found["throttle_events"] = float(after.throttled - before.throttled)
    asleep = 0.0
    if before.slept is not None and after.slept is not None:
        asleep = after.slept - before.slept
        found["suspended_s"] = round(asleep, 3)
    if before.wall is not None and after.wall is not None:
        found["clock_step_s"] = round(after.wall - before.wall - asleep, 3)
    return found


def noise_findings(found: Mapping[str, float], *, threads: int, cpus: int, room: int) -> Iterator[Finding]:
    """Yield what of ``noise_between`` may have spoiled a trial.

    ``threads``: CPUs of the host; ``cpus``: those of the guest; ``room``: those of the host that it may
    be on. Where none is to spare, its own threads wait for one another, and pressure says nothing of others.
    """
    seconds = found["seconds"]
    # The counter is cut to whole ticks, so the difference may be too high by almost one.
    stolen = found.get("steal_s", 0.0) - tick()
    if stolen > STOLEN * seconds * threads:
        yield _warning(
            "host.steal",
            f"the hypervisor took away more than {STOLEN:.0%} of the CPU time during the trial",
            "compare with trials without this finding; measure on bare hardware, or at a quieter hour",
        )
    if cpus < room and found.get("cpu_pressure_s", 0.0) > PRESSED * seconds:
        yield _warning(
            "host.pressure",
            f"some task waited for a CPU in more than {PRESSED:.0%} of the trial",
            "end what runs beside the experiment, or keep apart from it: tune: [cpus]",
        )
    if found.get("throttle_events", 0.0) > 0:
        yield _warning(
            "host.throttling",
            "a CPU was slowed down during the trial because it was too hot",
            "cool the host, or pause between trials",
        )
    if (asleep := found.get("suspended_s", 0.0)) > SLEPT:
        yield _warning(
            "host.suspended",
            f"the host was suspended for {show_seconds(asleep)} during the trial and awake for "
            f"{show_seconds(seconds)}: the sleep is in no duration by the host's clock, but may be in what a "
            "tool timed by the wall clock",
            _AWAKE,
        )
    if abs(found.get("clock_step_s", 0.0)) > STEPPED:
        yield Finding(
            "host.clock-stepped",
            Severity.INFO,
            "the wall clock was set during the trial; no duration stands on it, but its labels may mislead",
            "let the host's time service settle first",
        )


def woken(before: Noise, after: Noise) -> Iterator[Finding]:
    """Yield what a sleep between two trials may do to the second; ``before``: the first one's last look."""
    asleep = noise_between(before, after).get("suspended_s", 0.0)
    if asleep > SLEPT:
        yield _warning(
            "host.woken",
            f"the host was suspended for {show_seconds(asleep)} between the trial before and this one, and "
            "may still have been busy with waking up",
            _AWAKE,
        )


def tick() -> float:
    """Return the seconds of one tick, in which the kernel counts CPU time."""
    return 1 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01


def slept() -> float | None:
    """Return the seconds since boot in which the host was suspended, ``None`` where it does not tell.

    A pause between the looks at two clocks passes for sleep, so the least of several pairs of looks counts.

    Source: of each pair of clocks the first counts it and the second does not: clock_gettime(2) of Linux,
    clock_gettime(3) of macOS.
    """
    for counts, counts_not in (
        ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"),
        ("CLOCK_MONOTONIC_RAW", "CLOCK_UPTIME_RAW"),
    ):
        if hasattr(time, counts) and hasattr(time, counts_not):
            one, other = getattr(time, counts), getattr(time, counts_not)
            return min(_ahead(one, other) for _ in range(_LOOKS))
    return None


def _ahead(one: int, other: int) -> float:
    """Return the seconds by which one clock is ahead of another, or more."""
    behind = time.clock_gettime(other)
    return time.clock_gettime(one) - behind


def load() -> float | None:
    """Return the average of the last minute, ``None`` where the host keeps none."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def throttled(root: Path = Path("/")) -> int | None:
    """Return how many times since boot CPUs were slowed down for heat, ``None`` where they do not count.

    Each CPU counts what befell its core, and each what befell their package; the latter enters once.
    """
    folders = list((root / "sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle"))
    cores = [number(folder / "core_throttle_count") for folder in folders]
    packages = [number(folder / "package_throttle_count") for folder in folders]
    known = [count for count in cores if count is not None]
    shared = [count for count in packages if count is not None]
    return sum(known) + max(shared, default=0) if known or shared else None


def swapped_in(root: Path = Path("/")) -> int | None:
    """Return the pages that came back from swap since boot, ``None`` where the kernel does not count them."""
    match = re.search(r"^pswpin ([0-9]+)$", text(root / "proc/vmstat") or "", re.MULTILINE)
    return int(match[1]) if match else None


def _pressure(resource: str) -> float | None:
    """Return the total stall time (PSI ``some``), ``None`` where the kernel keeps none."""
    match = re.search(r"^some .*total=([0-9]+)$", text(Path("/proc/pressure", resource)) or "", re.MULTILINE)
    return int(match[1]) / 1e6 if match else None


def _warning(code: str, what: str, remedy: str) -> Finding:
    return Finding(code, Severity.WARNING, what, remedy)
