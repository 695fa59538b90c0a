"""The CPUs of a host -> cores, and a split of them between guests and the prober."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from vmvc.host.files import text


@dataclass(frozen=True, slots=True)
class Split:
    """CPUs of the processes that measure, and CPUs of the guests; ``siblings``: they share a core."""

    prober: tuple[int, ...]
    guest: tuple[int, ...]
    siblings: bool = False


def split(root: Path = Path("/"), allowed: Collection[int] | None = None) -> Split | None:
    """Give the prober the first core and the guests the others; ``None`` where there is one CPU.

    Threads of one core stay together, unless there is only one core. The first core is the prober's, since
    the host's own work and most interrupts are there. ``allowed``: CPUs that may be used, by default those of
    this process.
    """
    if allowed is None:
        allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
    cores = list(_cores(root, allowed))
    if len(cores) > 1:
        rest = sorted(cpu for core in cores[1:] for cpu in core)
        return Split(cores[0], tuple(rest))
    if cores and len(cores[0]) > 1:
        return Split(cores[0][:1], cores[0][1:], siblings=True)
    return None


def cpu_list(written: str) -> tuple[int, ...]:
    """Read CPUs as the kernel writes them: ``0-2,8``.

    Raises: ValueError.
    """
    found: list[int] = []
    for part in filter(None, written.strip().split(",")):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return tuple(found)


def show_cpus(cpus: Collection[int]) -> str:
    """Write CPUs as the kernel, Docker and libvirt read them."""
    return ",".join(map(str, sorted(cpus)))


def _cores(root: Path, allowed: Collection[int]) -> Iterator[tuple[int, ...]]:
    seen: set[int] = set()
    for cpu in sorted(allowed):
        if cpu not in seen:
            topology = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
            written = text(topology / "core_cpus_list") or text(topology / "thread_siblings_list") or str(cpu)
            core = tuple(one for one in cpu_list(written) if one in allowed and one not in seen) or (cpu,)
            seen.update(core)
            yield core
