"""The host's ``/proc`` -> who there is: names, parents and children, read a file a process.

psutil opens several files and makes an object for each process, which takes ten times as long; and this is
asked while a guest is measured.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")


@dataclass(frozen=True, slots=True)
class Running:
    """A process that has not ended; ``name`` as the kernel keeps it, 15 characters at the most."""

    name: str
    parent: int


def table() -> Mapping[int, Running]:
    """Return all processes of the host by their number, but for those that have ended."""
    numbers = [int(name) for name in _names(_PROC) if name.isdecimal()]
    return {pid: one for pid in numbers if (one := look(pid)) is not None}


def look(pid: int) -> Running | None:
    """Return one process, ``None`` where it has ended."""
    try:
        before, _, after = _read(pid, "stat").rpartition(b")")
    except OSError:
        return None
    state, parent, _ = after.split(maxsplit=2)
    return None if state in b"ZX" else Running(os.fsdecode(before.partition(b"(")[2]), int(parent))


def command(pid: int) -> list[str]:
    """Return a process's program and arguments; nothing where it has ended or shows none."""
    with suppress(OSError):
        return os.fsdecode(_read(pid, "cmdline")).split("\0")[:-1]
    return []


def user(pid: int) -> int | None:
    """Return the real user of a process, ``None`` where it has ended."""
    with suppress(OSError):
        for line in _read(pid, "status").splitlines():
            if line.startswith(b"Uid:"):
                return int(line.split()[1])
    return None


def below(pid: int) -> list[int]:
    """Return the living descendants of a process."""
    children = _told_by_kernel if (_PROC / "thread-self" / "children").exists() else _searched()
    found: list[int] = []
    waiting = [pid]
    while waiting:
        for child in children(waiting.pop()):
            waiting.append(child)
            if look(child) is not None:
                found.append(child)
    return found


def _told_by_kernel(pid: int) -> list[int]:
    """Return the children of all threads of a process."""
    found: list[int] = []
    with suppress(OSError):
        for thread in _names(_PROC / str(pid) / "task"):
            with suppress(OSError):
                found += map(int, _read(pid, f"task/{thread}/children").split())
    return found


def _searched() -> Callable[[int], list[int]]:
    """Do the same by every process's parent, where the kernel keeps no list of children."""
    children: dict[int, list[int]] = {}
    for pid, one in table().items():
        children.setdefault(one.parent, []).append(pid)
    return lambda pid: children.get(pid, [])


def _names(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]


def _read(pid: int, name: str) -> bytes:
    file = os.open(f"{_PROC}/{pid}/{name}", os.O_RDONLY)
    try:
        content = b""
        while chunk := os.read(file, 65536):
            content += chunk
        return content
    finally:
        os.close(file)
