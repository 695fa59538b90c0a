"""Who owns what vmvc made: ``host:pid:start`` of the process that runs the trials; and does it still live?

The start time keeps a recycled process id from passing for a dead owner.
"""

from __future__ import annotations

import os
import platform
import re

import psutil


def current() -> str:
    """Return this process's owner text."""
    return of_pid(os.getpid())


def of_pid(pid: int) -> str:
    """Return the owner text of a live process on this host.

    Raises: psutil.NoSuchProcess.
    """
    return f"{_host()}:{pid}:{psutil.Process(pid).create_time():.2f}"


def alive(owner: str) -> bool:
    """Say whether the owner still runs; one on another host counts as alive, so its things stay untouched."""
    host, _, rest = owner.partition(":")
    pid, _, start = rest.partition(":")
    if host != _host():
        return True
    try:
        return abs(psutil.Process(int(pid)).create_time() - float(start)) < 1.0
    except (psutil.NoSuchProcess, ValueError):
        return False


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "-", platform.node()) or "localhost"
