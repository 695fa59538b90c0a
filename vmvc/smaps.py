"""Process ids -> the memory of these processes together, as the kernel's ``smaps_rollup`` counts it.

``rss``: resident pages, a page counting for each process that maps it. ``pss``: each page divided by the
number of processes that map it; the kernel cuts the sum of each process to whole KiB. ``uss``: pages that one
process alone maps. Swapped-out pages and pages of hugetlbfs are in none of them.

Source: Linux Documentation/filesystems/proc.rst, Documentation/ABI/testing/procfs-smaps_rollup.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import psutil

from vmvc.errors import Unavailable

FIGURES: Final = ("rss", "pss", "uss")

_FIELDS: Final = (b"\nRss:", b"\nPss:", b"\nPrivate_Clean:", b"\nPrivate_Dirty:")
_WHOLE: Final = 4096
"""Bytes; the kernel's text is a quarter of that, and comes in one piece."""


def memory(pids: Sequence[int], proc: Path = Path("/proc")) -> Mapping[str, int | Unavailable]:
    """Return every figure in bytes, or why it cannot be had; of no processes they are 0.

    A process that has ended counts for nothing, but not all may have. Where maps may not be read, ``rss``
    alone is left: it then comes from counters that the kernel brings up to date only now and then.
    """
    if not (proc / "self" / "smaps_rollup").exists():
        return _resident(
            pids, Unavailable("this host has no /proc/PID/smaps_rollup (Linux has it from 4.14 on)")
        )
    try:
        mapped = [one for pid in pids if (one := _mapped(f"{proc}/{pid}/smaps_rollup"))]
    except PermissionError:
        needs = (
            "reading another user's /proc/PID/smaps_rollup needs root or CAP_SYS_PTRACE; resident memory is "
            "still measured, and so are cgroups"
        )
        return _resident(pids, Unavailable(needs, hint="run vmvc as root"))
    if pids and not mapped:
        return dict.fromkeys(FIGURES, _unseen())
    rss, pss, clean, dirty = (sum(column) for column in zip(*mapped, strict=True)) if mapped else (0, 0, 0, 0)
    return {"rss": rss, "pss": pss, "uss": clean + dirty}


def _mapped(path: str) -> tuple[int, ...] | None:
    """Return the fields of one process in bytes, ``None`` where it has ended.

    By bare system calls: this is done for a thousand processes while a guest is measured.
    """
    try:
        file = os.open(path, os.O_RDONLY)
        try:
            text = os.read(file, _WHOLE)
        finally:
            os.close(file)
    except (FileNotFoundError, ProcessLookupError):
        return None
    if not text:
        return None
    return tuple(_kib(text, field) * 1024 for field in _FIELDS)


def _kib(text: bytes, field: bytes) -> int:
    begin = text.index(field) + len(field)
    return int(text[begin : text.index(b"kB", begin)])


def _resident(pids: Sequence[int], reason: Unavailable) -> Mapping[str, int | Unavailable]:
    sizes = []
    for pid in pids:
        try:
            sizes.append(psutil.Process(pid).memory_info().rss)
        except psutil.NoSuchProcess:
            continue
        except psutil.AccessDenied:
            return dict.fromkeys(FIGURES, reason)
    rss = _unseen() if pids and not sizes else sum(sizes)
    return {"rss": rss, "pss": reason, "uss": reason}


def _unseen() -> Unavailable:
    return Unavailable("none of the processes is to be seen in /proc")
