"""A run's name -> whatever carries it on this host: containers, machines, processes, mounts, cached files."""

from __future__ import annotations

import os
from pathlib import Path

import docker
import psutil


def left_behind(run: str) -> list[str]:
    """Return a line for each thing that carries the run's name; the command that asks does not count."""
    client = docker.from_env()
    found = [
        one.name or ""
        for one in client.containers.list(all=True, ignore_removed=True)
        if run in (one.name or "")
    ]
    client.close()
    for process in psutil.process_iter(["pid", "cmdline"]):
        line = " ".join(process.info["cmdline"] or ())
        if run in line and process.pid != os.getpid():
            found.append(line[:200])
    found += [line for line in Path("/proc/mounts").read_text().splitlines() if run in line]
    found += [str(path) for path in Path(cache(), "instances").glob(f"*{run}*")]
    return found


def cache() -> str:
    """Return where vmvc keeps images and instances."""
    return os.environ.get("VMVC_CACHE") or str(Path.home() / ".cache" / "vmvc")
