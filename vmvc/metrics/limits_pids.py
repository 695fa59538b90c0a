"""A limit on processes and a shell that starts more -> how many there were."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from vmvc.contract import Instance, Observation, Reading
from vmvc.contract import Limits as Held
from vmvc.errors import Unavailable
from vmvc.metrics import hogs
from vmvc.metrics.hogs import GRACE
from vmvc.metrics.limits_absent import UNTRIED, absent, failed, none

MOST_PIDS: Final = 4096
"""A limit of more processes is not tried: they would be a load on the host."""


def try_pids(instance: Instance, held: Held) -> Iterator[Observation]:
    """Start processes until no further one can be started."""
    if held.pids is None:
        yield from none(("pids_asked", "pids_reached", "pids_kept"), held, "pids")
        return
    yield Reading("pids_asked", held.pids)
    reached = _crowd(instance, held.pids)
    if isinstance(reached, Unavailable):
        yield from absent(("pids_reached", "pids_kept"), reached.what)
        return
    yield Reading("pids_reached", reached)
    yield Reading("pids_kept", int(reached <= held.pids))


def _crowd(instance: Instance, limit: int) -> int | Unavailable:
    """Return how many tasks there were when no more could be started."""
    if limit > MOST_PIDS:
        return Unavailable(UNTRIED.format("processes") + f": it is over {MOST_PIDS}")
    try:
        before = _tasks(instance)
    except Unavailable as reason:
        return reason
    ended = hogs.run(instance, hogs.crowd(limit + 16), GRACE)
    if isinstance(ended, Unavailable):
        return ended
    started = hogs.last_number(ended)
    # The shell that starts them is one of them.
    return before + 1 + started if started else failed("sh", ended)


def _tasks(instance: Instance) -> int:
    """Return the number of tasks of the instance's own processes.

    Raises: Unavailable.
    """
    count = 0
    for pid in instance.processes().own:
        try:
            count += sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())
        except OSError:
            continue  # it has ended meanwhile
    return count
