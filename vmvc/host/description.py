"""The files of a host -> its facts: what decides numbers and does not change by the minute."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from mmap import PAGESIZE
from pathlib import Path
from typing import Final

import psutil

from vmvc import __version__, cgroups
from vmvc.contract import Scalar
from vmvc.host.files import chosen, number, switch, text

SAYS: Final[Mapping[str, str]] = {
    "kernel": "Name and release of the kernel.",
    "distribution": "Name of the operating system.",
    "architecture": "Architecture of the CPUs.",
    "hardware": "Vendor and model of the machine, as its firmware says.",
    "virtualised": "Whether a hypervisor is below this host.",
    "cpu": "Model of the CPUs.",
    "cores": "Physical cores.",
    "threads": "CPUs that the kernel schedules on.",
    "memory": "Physical memory, in bytes.",
    "swap": "Swap space, in bytes.",
    "governor": "Governors of the CPUs' frequency, those in use.",
    "turbo": "Whether CPUs may go beyond their base frequency.",
    "smt": "Whether two threads share a core.",
    "thp": "Transparent huge pages: `always`, `madvise` or `never`.",
    "ksm_run": "Kernel same-page merging: 0 off, 1 on, 2 off and unmerged.",
    "ksm_pages_shared": "Pages that KSM keeps once for several.",
    "ksm_pages_sharing": "Pages that KSM saves.",
    "nested": "Whether KVM lets its guests run virtual machines of their own.",
    "aslr": "Address space randomisation: 0 off, 1 without the heap, 2 full.",
    "cgroup": "Version of the control groups.",
    "clock_source": "What the kernel's clock reads.",
    "python": "Version of Python.",
    "psutil": "Version of psutil.",
    "vmvc": "Version of vmvc.",
    "tuned": "Settings that the run had changed, separated by spaces; empty where it changed none.",
}
"""Fact -> its meaning."""


def facts(root: Path = Path("/")) -> Mapping[str, Scalar]:
    """Return what decides numbers on this host; ``root`` is where its ``proc`` and ``sys`` are."""
    sys, cpu = root / "sys", root / "sys/devices/system/cpu"
    found: dict[str, Scalar | None] = {
        "kernel": f"{platform.system()} {platform.release()}",
        "distribution": _distribution(),
        "architecture": platform.machine(),
        "hardware": " ".join(
            filter(None, (text(sys / "class/dmi/id" / name) for name in ("sys_vendor", "product_name")))
        ),
        "virtualised": _virtualised(root),
        "cpu": _cpu_field(root, "model name") or platform.processor(),
        "cores": psutil.cpu_count(logical=False),
        "threads": psutil.cpu_count(),
        "memory": psutil.virtual_memory().total,
        "swap": psutil.swap_memory().total,
        "governor": _governors(cpu),
        "turbo": _turbo(cpu),
        "smt": switch(cpu / "smt/active"),
        "thp": chosen(sys / "kernel/mm/transparent_hugepage/enabled"),
        "ksm_run": number(sys / "kernel/mm/ksm/run"),
        "ksm_pages_shared": number(sys / "kernel/mm/ksm/pages_shared"),
        "ksm_pages_sharing": number(sys / "kernel/mm/ksm/pages_sharing"),
        "nested": _nested(root),
        "aslr": number(root / "proc/sys/kernel/randomize_va_space"),
        "cgroup": cgroups.version(sys / "fs/cgroup"),
        "clock_source": text(sys / "devices/system/clocksource/clocksource0/current_clocksource"),
        "python": platform.python_version(),
        "psutil": ".".join(map(str, psutil.version_info)),
        "vmvc": __version__,
    }
    return {name: value for name, value in found.items() if value is not None and value != ""}


def ksm(root: Path = Path("/")) -> Mapping[str, int]:
    """Return what the kernel's merging of equal pages does: its ``run`` (1: it merges) and its counters."""
    folder = root / "sys/kernel/mm/ksm"
    found = {name: number(folder / name) for name in ("run", "pages_shared", "pages_sharing", "full_scans")}
    return {name: value for name, value in found.items() if value is not None}


def boot_id() -> str:
    """Return the id of this boot, empty where the host has none."""
    return text(Path("/proc/sys/kernel/random/boot_id")) or ""


def mem_available(root: Path = Path("/")) -> int:
    """Return the bytes that programs could still get without swapping.

    On Linux that is ``MemAvailable`` and the pages that each CPU keeps free for itself. The kernel counts
    these neither as free nor as used, and since Linux 6.7 they may come to hundreds of MiB a CPU: what a
    process takes of them never shows in ``MemAvailable`` alone.

    Source: Linux mm/page_alloc.c, ``free_unref_page`` and ``si_mem_available``.
    """
    kept = re.findall(r"^ +count: +([0-9]+)$", text(root / "proc/zoneinfo") or "", re.MULTILINE)
    return psutil.virtual_memory().available + sum(map(int, kept)) * PAGESIZE


def _distribution() -> str | None:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:
        return platform.platform()


def _cpu_field(root: Path, name: str) -> str | None:
    match = re.search(rf"^{name}\s*: (.*)$", text(root / "proc/cpuinfo") or "", re.MULTILINE)
    return match[1].strip() if match else None


def _virtualised(root: Path) -> bool | None:
    """Say whether a hypervisor is below this host: by its own word, or by the flag that x86 CPUs show."""
    if (root / "sys/hypervisor/type").exists() or (root / "proc/device-tree/hypervisor").exists():
        return True
    flags = _cpu_field(root, "flags")
    return None if flags is None else "hypervisor" in flags.split()


def _nested(root: Path) -> bool | None:
    """Say whether KVM lets its guests run virtual machines of their own."""
    for module in ("kvm_intel", "kvm_amd"):
        found = text(root / f"sys/module/{module}/parameters/nested")
        if found is not None:
            return found in ("1", "Y")
    return None


def _governors(cpu: Path) -> str | None:
    found = {text(path) for path in cpu.glob("cpu[0-9]*/cpufreq/scaling_governor")}
    return ", ".join(sorted(filter(None, found))) or None


def _turbo(cpu: Path) -> bool | None:
    no_turbo = switch(cpu / "intel_pstate/no_turbo")
    return switch(cpu / "cpufreq/boost") if no_turbo is None else not no_turbo
