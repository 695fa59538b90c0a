"""Who owns what vmvc made: ``host:pid:start`` of the process that runs the trials; and does it still live?

The start keeps a recycled process id from passing for a dead owner. On Linux it is the boot and the process's
start in ticks since then, which no setting of the wall clock moves.
"""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

import psutil


def current() -> str:
    """Return this process's owner text."""
    return of_pid(os.getpid())


def of_pid(pid: int) -> str:
    """Return the owner text of a live process on this host.

    Raises: psutil.NoSuchProcess.
    """
    process = psutil.Process(pid)
    return f"{_host()}:{pid}:{_ticks(pid) or f'{process.create_time():.2f}'}"


def alive(owner: str) -> bool:
    """Say whether the owner still runs; one on another host counts as alive, so its things stay untouched."""
    host, _, rest = owner.partition(":")
    pid, _, start = rest.partition(":")
    if host != _host():
        return True
    try:
        if "@" in start:
            return _ticks(int(pid)) == start
        return abs(psutil.Process(int(pid)).create_time() - float(start)) < 1.0
    except (psutil.NoSuchProcess, ValueError):
        return False


def _ticks(pid: int) -> str:
    """Return ``TICKS@BOOT`` of a live process; "" where there is none or no Linux.

    Source: proc(5), field 22 of /proc/PID/stat, counted behind the name, which may hold spaces and brackets.
    """
    try:
        start = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19]
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    except (OSError, IndexError):
        return ""
    return f"{int(start)}@{boot[:8]}"


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "-", platform.node()) or "localhost"
