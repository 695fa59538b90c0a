"""A label in the environment, or a keeper -> every process of a guest on this host."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from vmvc.backends import proc
from vmvc.contract import LABEL, Tag

KILLED_WITHIN: Final = 20.0
"""Seconds in which a killed process ends, unless the kernel holds it."""


def environment(tag: Tag) -> dict[str, str]:
    """Return a tag as environment variables: ``VMVC``, ``VMVC_RUN``, ``VMVC_TRIAL``, ``VMVC_OWNER``."""
    return {key.upper().replace(".", "_"): value for key, value in tag.labels().items()}


def labelled() -> Iterator[tuple[Tag, psutil.Process]]:
    """Yield every process that carries a tag and whose environment this user may read."""
    marker = f"{LABEL.upper()}=".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            pairs = (folder / "environ").read_bytes().split(b"\0")
            if not any(pair.startswith(marker) for pair in pairs):
                continue
            tag = _tag(pairs)
            if tag is not None:
                yield tag, psutil.Process(int(folder.name))
        except (OSError, psutil.NoSuchProcess):
            continue  # ended meanwhile, or another user's


def members(tag: Tag, keepers: Mapping[int, int]) -> list[psutil.Process]:
    """Return the guest's living processes: below its keepers (pid -> start), and wherever its label is.

    A process that changes its environment is found below the keeper, one that lost its keeper by its label.
    """
    found = {process for other, process in labelled() if other == tag}
    for pid, start in keepers.items():
        if started(pid) == start:
            found.update(below(pid))
    return [one for one in found if started(one.pid) is not None]


def numbers(tag: Tag, keepers: Mapping[int, int]) -> list[int]:
    """Return the same as ids; quick where all keepers live, since nothing below a keeper can leave it.

    What a command that was run inside left behind is below none of them: ``everywhere`` finds it.
    """
    if keepers and all(started(pid) == start for pid, start in keepers.items()):
        return [one for pid in keepers for one in proc.below(pid)]
    return everywhere(tag, keepers)


def everywhere(tag: Tag, keepers: Mapping[int, int]) -> list[int]:
    """Return the ids of all members, wherever they are."""
    return [one.pid for one in members(tag, keepers)]


def below(pid: int) -> list[psutil.Process]:
    """Return the living descendants of a process."""
    try:
        return [one for one in psutil.Process(pid).children(recursive=True) if started(one.pid) is not None]
    except psutil.NoSuchProcess:
        return []


def started(pid: int) -> int | None:
    """Return when a process started, in the kernel's ticks since boot; ``None`` where it has ended.

    Ticks do not move when the wall clock is set, so number and start name one process for good.
    """
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else int(fields[18])


def kill(find: Callable[[], list[psutil.Process]]) -> list[psutil.Process]:
    """End by force what ``find`` returns, again and again until that is nothing; return what does not end."""
    deadline = time.monotonic() + KILLED_WITHIN
    while left := find():
        for one in left:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(left, timeout=0.1)
        if time.monotonic() > deadline:
            return left
    return []


def _tag(pairs: list[bytes]) -> Tag | None:
    labels = {}
    for pair in pairs:
        name, _, value = pair.decode(errors="replace").partition("=")
        if name.startswith(LABEL.upper()):
            labels[name.lower().replace("_", ".")] = value
    return Tag.from_labels(labels)
