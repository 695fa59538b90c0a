"""The host's process table -> other guests that run here, and programs that steer its clock."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

import psutil

GUESTS: Final = (
    "qemu-system-",
    "qemu-kvm",
    "VBoxHeadless",
    "VirtualBoxVM",
    "vmware-vmx",
    "firecracker",
    "cloud-hypervisor",
    "crosvm",
    "containerd-shim",
    "conmon",
    "runsc-sandbox",
    "systemd-nspawn",
    "lxc-start",
)
"""How the programs begin of which one runs for every virtual machine, container or pod."""
CLOCKS: Final = ("chronyd", "ntpd", "systemd-timesyncd", "ptp4l", "phc2sys", "VBoxService")
"""Programs that steer the clock."""
_CUT: Final = 15
"""Characters of a name that the kernel keeps."""


def programs() -> Mapping[int, str]:
    """Return the names of all processes but this one, its descendants and its ancestors, by pid.

    An ancestor may be the very container that vmvc runs in.
    """
    found = {one.pid: one.info["name"] or "" for one in psutil.process_iter(["name"])}
    try:
        this = psutil.Process(os.getpid())
        own = {this, *this.parents(), *this.children(recursive=True)}
    except psutil.Error:
        own = set()
    ours = {one.pid for one in own}
    return {pid: name for pid, name in found.items() if pid not in ours}


def guests(names: Iterable[str]) -> Mapping[str, int]:
    """Count the guests among programs, by program."""
    return Counter(name for name in names if name.startswith(tuple(start[:_CUT] for start in GUESTS)))


def clocks(names: Iterable[str]) -> tuple[str, ...]:
    """Return the programs that steer the clock, each once."""
    known = {name[:_CUT]: name for name in CLOCKS}
    return tuple(sorted({known[name[:_CUT]] for name in names if name[:_CUT] in known}))
