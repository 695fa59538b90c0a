"""A split of the CPUs -> this process on the prober's, with all that it starts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from vmvc.host.topology import Split


@contextmanager
def pinned(shares: Split | None) -> Iterator[None]:
    """Keep this process, and those that it starts, on the prober's CPUs."""
    if shares is None:
        yield
        return
    before = _affinities()
    try:
        _set_affinities({thread: set(shares.prober) for thread in before})
        yield
    finally:
        free = before.get(os.getpid(), set())
        _set_affinities({thread: before.get(thread, free) for thread in _affinities()})


def _affinities() -> dict[int, set[int]]:
    """Return the CPUs of each thread of this process; a new thread has those of the one that made it."""
    found = {}
    for entry in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):
            found[int(entry.name)] = os.sched_getaffinity(int(entry.name))
    return found


def _set_affinities(wanted: Mapping[int, set[int]]) -> None:
    for thread, cpus in wanted.items():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(thread, cpus)
