"""This host -> its facts, what may spoil numbers here, and what else it did during a trial.

Linux shows most; what a host does not show is left out, never invented.
"""

from __future__ import annotations

import os
import platform
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from mmap import PAGESIZE
from pathlib import Path
from time import monotonic
from typing import Final

import psutil

from vmvc import __version__, cgroups
from vmvc.contract import Finding, Scalar, Severity
from vmvc.units import show_bytes

BUSY: Final = 0.5
"""Load per CPU above which a host is not idle."""
LITTLE_MEMORY: Final = 0.1
"""Part of the host's memory below which what is left is little; below ``LEAST_MEMORY`` it always is."""
LEAST_MEMORY: Final = 2**30
LEAST_DISK: Final = 2 * 2**30


# --- facts ------------------------------------------------------------------------------------------------


def facts(root: Path = Path("/")) -> Mapping[str, Scalar]:
    """Return what decides numbers on this host; ``root`` is where its ``proc`` and ``sys`` are."""
    sys, cpu = root / "sys", root / "sys/devices/system/cpu"
    found: dict[str, Scalar | None] = {
        "kernel": f"{platform.system()} {platform.release()}",
        "distribution": _distribution(),
        "architecture": platform.machine(),
        "hardware": " ".join(
            filter(None, (_text(sys / "class/dmi/id" / name) for name in ("sys_vendor", "product_name")))
        ),
        "virtualised": _virtualised(root),
        "cpu": _cpu_field(root, "model name") or platform.processor(),
        "cores": psutil.cpu_count(logical=False),
        "threads": psutil.cpu_count(),
        "memory": psutil.virtual_memory().total,
        "swap": psutil.swap_memory().total,
        "governor": _governors(cpu),
        "turbo": _turbo(cpu),
        "smt": _switch(cpu / "smt/active"),
        "thp": _chosen(sys / "kernel/mm/transparent_hugepage/enabled"),
        "ksm_run": _number(sys / "kernel/mm/ksm/run"),
        "ksm_pages_shared": _number(sys / "kernel/mm/ksm/pages_shared"),
        "ksm_pages_sharing": _number(sys / "kernel/mm/ksm/pages_sharing"),
        "cgroup": cgroups.version(sys / "fs/cgroup"),
        "clock_source": _text(sys / "devices/system/clocksource/clocksource0/current_clocksource"),
        "python": platform.python_version(),
        "psutil": ".".join(map(str, psutil.version_info)),
        "vmvc": __version__,
    }
    return {name: value for name, value in found.items() if value is not None and value != ""}


def boot_id() -> str:
    """Return the id of this boot, empty where the host has none."""
    return _text(Path("/proc/sys/kernel/random/boot_id")) or ""


def mem_available(root: Path = Path("/")) -> int:
    """Return the bytes that programs could still get without swapping.

    On Linux that is ``MemAvailable`` and the pages that each CPU keeps free for itself. The kernel counts
    these neither as free nor as used, and since Linux 6.7 they may come to hundreds of MiB a CPU: what a
    process takes of them never shows in ``MemAvailable`` alone.

    Source: Linux mm/page_alloc.c, ``free_unref_page`` and ``si_mem_available``.
    """
    kept = re.findall(r"^ +count: +([0-9]+)$", _text(root / "proc/zoneinfo") or "", re.MULTILINE)
    return psutil.virtual_memory().available + sum(map(int, kept)) * PAGESIZE


def memory_floor(total: int) -> int:
    """Return the bytes of available memory below which a host with so many has little."""
    return round(max(LEAST_MEMORY, LITTLE_MEMORY * total))


def swapped_in(root: Path = Path("/")) -> int | None:
    """Return the pages that came back from swap since boot, ``None`` where the kernel does not count them."""
    match = re.search(r"^pswpin ([0-9]+)$", _text(root / "proc/vmstat") or "", re.MULTILINE)
    return int(match[1]) if match else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text is not None and text.isdecimal() else None


def _switch(path: Path) -> bool | None:
    number = _number(path)
    return None if number is None else number == 1


def _chosen(path: Path) -> str | None:
    """Return the bracketed word of a setting such as ``always [madvise] never``."""
    match = re.search(r"\[(\S+)]", _text(path) or "")
    return match[1] if match else None


def _distribution() -> str | None:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:
        return platform.platform()


def _cpu_field(root: Path, name: str) -> str | None:
    match = re.search(rf"^{name}\s*: (.*)$", _text(root / "proc/cpuinfo") or "", re.MULTILINE)
    return match[1].strip() if match else None


def _virtualised(root: Path) -> bool | None:
    """Say whether a hypervisor is below this host: by its own word, or by the flag that x86 CPUs show."""
    if (root / "sys/hypervisor/type").exists() or (root / "proc/device-tree/hypervisor").exists():
        return True
    flags = _cpu_field(root, "flags")
    return None if flags is None else "hypervisor" in flags.split()


def _governors(cpu: Path) -> str | None:
    found = {_text(path) for path in cpu.glob("cpu[0-9]*/cpufreq/scaling_governor")}
    return ", ".join(sorted(filter(None, found))) or None


def _turbo(cpu: Path) -> bool | None:
    no_turbo = _switch(cpu / "intel_pstate/no_turbo")
    return _switch(cpu / "cpufreq/boost") if no_turbo is None else not no_turbo


# --- findings ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class State:
    """What changes by the minute; ``free``: folder -> bytes that may still be written there."""

    threads: int
    memory: int
    available: int
    swap_used: int
    load: float | None = None
    steal: float | None = None
    free: Mapping[str, int] = field(default_factory=dict)


def findings() -> list[Finding]:
    """Return what may spoil numbers on this host now; changes nothing."""
    return list(judge(facts(), _state()))


def judge(about: Mapping[str, Scalar], state: State) -> Iterator[Finding]:
    """Compare facts and state with what a quiet host would show."""
    if state.load is not None and state.load > BUSY * state.threads:
        yield _warning(
            "host.load",
            f"the host is busy: load {state.load:.2f} on {state.threads} CPUs, over {BUSY:g} each",
            "end what runs beside the experiment (top shows it), or wait",
        )
    if state.available < memory_floor(state.memory):
        yield _warning(
            "host.memory",
            f"little memory is free: {show_bytes(state.available)} of {show_bytes(state.memory)}",
            "end what holds memory, so that the host need not reclaim during a trial",
        )
    for folder, free in state.free.items():
        if free < LEAST_DISK:
            yield _warning(
                "host.disk",
                f"little disk is free: {show_bytes(free)} in {folder}, less than {show_bytes(LEAST_DISK)}",
                "make room there (vmvc clean and vmvc image remove free what vmvc made)",
            )
    if state.swap_used > 0:
        yield _warning(
            "host.swap",
            f"swap is in use: {show_bytes(state.swap_used)}; resident memory reads too low",
            "swapoff --all && swapon --all",
        )
    if about.get("ksm_run") == 1:
        yield _warning(
            "host.ksm",
            f"KSM merges equal pages of guests ({about.get('ksm_pages_sharing', 'unknown')} now), so memory "
            "depends on their number and age",
            "echo 2 >/sys/kernel/mm/ksm/run",
        )
    if (governor := about.get("governor", "performance")) != "performance":
        yield _warning(
            "host.governor",
            f"the CPU frequency governor is {governor}, so speed depends on what ran before",
            "cpupower frequency-set --governor performance",
        )
    if about.get("turbo") is True:
        yield Finding(
            "host.turbo",
            Severity.INFO,
            "turbo is on: clock speed depends on temperature and on how many cores are busy",
            "switch it off where small differences matter (intel_pstate/no_turbo or cpufreq/boost)",
        )
    if about.get("virtualised") is True:
        platform_name = about.get("hardware", "of an unnamed platform")
        stolen = "" if state.steal is None else f"; {state.steal:.1%} of its CPU time since boot was stolen"
        yield _warning(
            "host.virtualised",
            f"this host is itself a virtual machine ({platform_name}){stolen}",
            "measure on bare hardware, or name the platform with every number and watch each trial's steal",
        )


def _warning(code: str, what: str, remedy: str) -> Finding:
    return Finding(code, Severity.WARNING, what, remedy)


def _state() -> State:
    memory, times = psutil.virtual_memory(), psutil.cpu_times()
    stolen = getattr(times, "steal", None)
    return State(
        threads=psutil.cpu_count() or 1,
        memory=memory.total,
        available=mem_available(),
        swap_used=psutil.swap_memory().used,
        load=_load(),
        steal=None if stolen is None else stolen / sum(times[:8]),
        free=dict(_free(Path.cwd, lambda: Path(tempfile.gettempdir()))),
    )


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


def _load() -> float | None:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


# --- noise ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Noise:
    """Counters of the whole host at one instant; ``pressure``: resource -> seconds since boot."""

    at: float
    context_switches: int
    steal: float | None
    load: float | None
    pressure: Mapping[str, float]


def noise() -> Noise:
    """Look at the host's counters; takes well under a millisecond."""
    return Noise(
        at=monotonic(),
        context_switches=psutil.cpu_stats().ctx_switches,
        steal=getattr(psutil.cpu_times(), "steal", None),
        load=_load(),
        pressure={
            name: stalled for name in ("cpu", "memory", "io") if (stalled := _pressure(name)) is not None
        },
    )


def noise_between(before: Noise, after: Noise) -> dict[str, float]:
    """Return what the host did in between, by name, the guest's own doing included.

    ``seconds``: how long that was. ``steal_s``: seconds that the hypervisor took away, summed over the CPUs,
    counted in ticks of 10 ms. ``cpu_pressure_s``, ``memory_pressure_s``, ``io_pressure_s``: seconds in which
    some task waited for the resource. ``context_switches``: their number. ``load_before``, ``load_after``:
    the average of the last minute.
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
    return found


def _pressure(resource: str) -> float | None:
    """Return the total stall time (PSI ``some``), ``None`` where the kernel keeps none."""
    match = re.search(r"^some .*total=([0-9]+)$", _text(Path("/proc/pressure", resource)) or "", re.MULTILINE)
    return int(match[1]) / 1e6 if match else None
