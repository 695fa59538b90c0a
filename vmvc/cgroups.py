"""A memory cgroup's folder -> what its processes are charged for, in bytes.

The two versions of control groups name things differently, and one name does not always mean one thing:

=========  =============================  ====================  ==============================================
figure     v1 (also on a hybrid host)     v2                    meaning
=========  =============================  ====================  ==============================================
current    memory.usage_in_bytes          memory.current        everything charged, page cache included
peak       memory.max_usage_in_bytes      memory.peak           highest ``current`` since the cgroup was made
anon       total_rss                      anon                  anonymous memory; v1 adds the swap cache
file       total_cache                    file                  page cache, tmpfs and shared memory included
kernel     memory.kmem.usage_in_bytes     kernel                stacks, page tables, slabs, socket buffers; v1
                                                                counts TCP's buffers apart
inactive   total_inactive_file            inactive_file         page cache that is reclaimed first
=========  =============================  ====================  ==============================================

All figures include the cgroups below. ``current`` and ``peak`` count pages that the kernel has set aside for
a CPU and not yet used: they are too high by up to ``CHARGE_BATCH`` pages a CPU, never too low. The kernel
sums up the other figures only now and then: they may be off by as much in either direction.

Source: Linux Documentation/admin-guide/cgroup-v1/memory.rst, cgroup-v2.rst, mm/memcontrol.c.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from mmap import PAGESIZE
from pathlib import Path
from typing import Final, Literal

from vmvc.errors import Unavailable

FIGURES: Final = ("current", "peak", "anon", "file", "kernel", "inactive")
CHARGE_BATCH: Final = 64
"""Pages that the kernel charges ahead for one CPU (``MEMCG_CHARGE_BATCH``; 32 before Linux 5.16)."""

_V1: Final = {
    "current": "memory.usage_in_bytes",
    "peak": "memory.max_usage_in_bytes",
    "anon": "memory.stat total_rss",
    "file": "memory.stat total_cache",
    "kernel": "memory.kmem.usage_in_bytes",
    "inactive": "memory.stat total_inactive_file",
}
_V2: Final = {
    "current": "memory.current",
    "peak": "memory.peak",
    "anon": "memory.stat anon",
    "file": "memory.stat file",
    "kernel": "memory.stat kernel",
    "inactive": "memory.stat inactive_file",
}


def memory(folder: Path) -> Mapping[str, int | Unavailable]:
    """Return every figure in bytes, or why it cannot be had."""
    if (folder / _V2["current"]).exists():
        places = _V2
    elif (folder / _V1["current"]).exists():
        places = _V1
    else:
        why = "does not account for memory" if folder.exists() else "is gone"
        return dict.fromkeys(FIGURES, Unavailable(f"the cgroup {folder} {why}"))
    texts: dict[str, str | Unavailable] = {}
    for place in places.values():
        file = place.partition(" ")[0]
        if file not in texts:
            texts[file] = _read(folder / file)
    return {figure: _figure(place, texts) for figure, place in places.items()}


def kills(folder: Path) -> int | Unavailable:
    """Return how many processes the kernel has killed because this cgroup was at its memory limit."""
    for name in ("memory.events", "memory.oom_control"):
        if (folder / name).exists():
            return _figure(f"{name} oom_kill", {name: _read(folder / name)})
    return Unavailable(f"the cgroup {folder} counts no kills")


def swapped(folder: Path) -> int | Unavailable:
    """Return the bytes of the cgroup's memory that are in swap."""
    if (folder / "memory.swap.current").exists():
        return _figure("memory.swap.current", {"memory.swap.current": _read(folder / "memory.swap.current")})
    return _figure("memory.stat total_swap", {"memory.stat": _read(folder / "memory.stat")})


def slack() -> int:
    """Return the bytes by which ``current`` and ``peak`` may be too high."""
    return CHARGE_BATCH * PAGESIZE * (os.cpu_count() or 1)


def version(root: Path = Path("/sys/fs/cgroup")) -> Literal["v1", "v2", "hybrid"] | None:
    """Return how this host's cgroups are laid out, ``None`` where it has none."""
    if (root / "cgroup.controllers").exists():
        return "v2"
    if (root / "unified" / "cgroup.controllers").exists():
        return "hybrid"
    return "v1" if (root / "memory").exists() else None


def _read(path: Path) -> str | Unavailable:
    try:
        return path.read_text()
    except FileNotFoundError:
        return Unavailable(f"this kernel has no {path.name}")
    except OSError as error:
        return Unavailable(f"{path} cannot be read: {error.strerror}")


def _figure(place: str, texts: Mapping[str, str | Unavailable]) -> int | Unavailable:
    file, _, key = place.partition(" ")
    text = texts[file]
    if isinstance(text, Unavailable):
        return text
    if not key:
        return int(text)
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == key:
            return int(value)
    return Unavailable(f"this kernel's {file} has no '{key}'")
