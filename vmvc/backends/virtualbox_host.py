"""This host -> findings about what VirtualBox needs: its driver, and VT-x or AMD-V for itself."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import psutil

from vmvc.contract import Finding, Severity

DRIVER = Path("/dev/vboxdrv")
MODULES = Path("/sys/module")
CPUINFO = Path("/proc/cpuinfo")
HYPERVISORS: Final = (
    "qemu-system",
    "qemu-kvm",
    "kvm",
    "firecracker",
    "cloud-hypervisor",
    "crosvm",
    "vmware-vmx",
)
"""Beginnings of the names of programs that may hold VT-x or AMD-V."""


def findings() -> Iterator[Finding]:
    """Judge the host; where it cannot be seen, the start of a machine will tell."""
    if platform.machine() not in ("x86_64", "AMD64"):
        yield Finding(
            "virtualbox.architecture",
            Severity.ERROR,
            f"machines of this backend are x86_64, and this host is {platform.machine()}",
            "use an x86_64 host",
        )
    if sys.platform == "win32":
        yield Finding(
            "virtualbox.console",
            Severity.ERROR,
            "vmvc reads the console of a machine through Unix sockets, which VirtualBox has not on Windows",
            "run it on Linux or macOS",
        )
    if sys.platform != "linux":
        return
    if not DRIVER.exists():
        yield Finding(
            "virtualbox.driver",
            Severity.ERROR,
            "VirtualBox's kernel driver is not loaded (/dev/vboxdrv): machines can be made, but not started",
            _cure(),
        )
    elif busy := holders():
        yield Finding(
            "virtualbox.other-hypervisor",
            Severity.WARNING,
            f"KVM is in use by {', '.join(busy)}: VirtualBox may not get VT-x or AMD-V for itself",
            "end those machines, and sudo modprobe -r kvm_intel kvm_amd where a start still fails",
        )


def facts() -> Mapping[str, bool]:
    """Say whether this host is itself a guest."""
    return {"host_is_virtual": "hypervisor" in _cpu_flags()} if sys.platform == "linux" else {}


def holders() -> list[str]:
    """Return the programs that hold KVM, as far as the kernel counts users of it; without it none."""
    counts = [MODULES / name / "refcnt" for name in ("kvm_intel", "kvm_amd")]
    if not any(path.exists() and path.read_text().strip() not in ("", "0") for path in counts):
        return []
    there = [one.info for one in psutil.process_iter(["name", "pid"])]
    found = [
        f"{one['name']} (pid {one['pid']})" for one in there if (one["name"] or "").startswith(HYPERVISORS)
    ]
    return found or ["a program that does not show"]


def others() -> str:
    """Name whatever may have VT-x or AMD-V, as far as it shows."""
    loaded = [
        f"the kernel module {name}" for name in ("kvm_intel", "kvm_amd", "vmmon") if (MODULES / name).exists()
    ]
    return ", ".join([*holders(), *loaded]) or "nothing of it shows here"


def _cure() -> str:
    if (MODULES / "vboxdrv").exists():
        return "sudo modprobe vboxdrv, and see whether udev makes /dev/vboxdrv"
    return (
        "sudo apt-get install virtualbox-dkms linux-headers-$(uname -r) && sudo modprobe vboxdrv "
        "(Oracle's packages: sudo /sbin/vboxconfig)"
    )


def _cpu_flags() -> list[str]:
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        return []
    return next((line.split() for line in lines if line.startswith("flags")), [])
