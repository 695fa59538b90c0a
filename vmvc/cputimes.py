"""Process ids -> the CPU seconds that their threads have used, and what they used in between.

To the nanosecond where the kernel keeps ``/proc/PID/task/TID/schedstat``, else in the ticks of
``/proc/PID/stat``. What a thread that ends has used since the last look is lost.

Source: Linux Documentation/scheduler/sched-stats.rst.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from vmvc.errors import Unavailable

Times = Mapping[tuple[int, int], float]
"""Process and thread -> its CPU seconds so far."""


def look(pids: Iterable[int], proc: Path = Path("/proc")) -> Times:
    """Return the times of all threads that are there.

    Raises: Unavailable where another user's process may not be looked at.
    """
    found: dict[tuple[int, int], float] = {}
    for pid in pids:
        tasks = proc / str(pid) / "task"
        with suppress(FileNotFoundError, ProcessLookupError, psutil.NoSuchProcess):
            if (tasks / str(pid) / "schedstat").exists():
                for task in tasks.iterdir():
                    with suppress(FileNotFoundError, ProcessLookupError):
                        found[pid, int(task.name)] = int((task / "schedstat").read_text().split()[0]) / 1e9
            else:
                found[pid, pid] = _ticks(pid)
    return found


def used(before: Times, after: Times) -> float:
    """Return the CPU seconds between two looks; a thread that is new has used all of its time since."""
    return sum(seconds - before.get(thread, 0.0) for thread, seconds in after.items())


def _ticks(pid: int) -> float:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.AccessDenied as error:
        raise Unavailable(
            "the CPU time of another user's process cannot be seen", hint="run vmvc as root"
        ) from error
    return float(times.user + times.system)
