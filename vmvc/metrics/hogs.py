"""A kind of load -> a command that every guest has, bounded in time, CPUs, memory, processes and disk.

All of it is ``sh``, ``awk``, ``dd`` and ``sleep``, which BusyBox and every distribution bring. A hog ends
itself: whoever runs it need not come back to end it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Final

from vmvc.contract import Completed, Instance
from vmvc.errors import Unavailable
from vmvc.metrics import inside

MIB: Final = 2**20
GRACE: Final = 30.0
"""Seconds beyond its own end after which a hog is ended from outside: an emulated guest is slow."""

_LOOPS: Final = """\
seconds=$1 loops=$2 n=0 pids=
while [ $n -lt $loops ]; do (while :; do %s; done) >/dev/null 2>&1 & pids="$pids $!"; n=$((n + 1)); done
sleep $seconds
kill $pids
"""
_FILL: Final = """\
BEGIN {
  s = "x"; for (i = 0; i < 20; i++) s = s s
  for (i = 1; i <= most; i++) { held[i] = s i; print i; fflush() }
}
"""
_CROWD: Final = """\
n=0
while [ $n -lt $1 ]; do sleep 5 & n=$((n + 1)); echo $n; done
"""


def loops(work: str, seconds: int, count: int, *arguments: str) -> Sequence[str]:
    """Return a command that does ``work`` again and again, ``count`` times at once, for so many seconds.

    ``work`` is shell and reads ``arguments`` as ``$3`` and on.
    """
    return ["sh", "-c", _LOOPS % work, "sh", str(seconds), str(count), *arguments]


def spin(seconds: int, count: int) -> Sequence[str]:
    """Return a command that keeps so many CPUs busy."""
    return loops(":", seconds, count)


def fill(most: int) -> Sequence[str]:
    """Return a command that holds 1 MiB more and more, up to ``most``, and prints how many it holds."""
    return ["awk", "-v", f"most={most}", _FILL]


def crowd(most: int) -> Sequence[str]:
    """Return a command that starts up to ``most`` processes of 5 s each, and prints how many it has."""
    return ["sh", "-c", _CROWD, "sh", str(most)]


def last_number(ended: Completed) -> int:
    """Return the last whole number that a hog printed; 0 where it printed none."""
    for line in reversed(ended.stdout.splitlines()):
        if line.strip().isdigit():
            return int(line)
    return 0


class Beside:
    """A command in an instance while something else is looked at; leaving the context waits for its end."""

    def __init__(
        self,
        instance: Instance,
        argv: Sequence[str],
        timeout: float,
        now: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.over: int | None = None
        """When it ended, by ``now``; ``None`` while it runs."""
        self._work: Callable[[], Completed] = lambda: instance.run(argv, timeout=timeout)
        self._now = now
        self._name = argv[0]
        self._thread = ThreadPoolExecutor(1, "vmvc-hog")
        self._future: Future[Completed] | None = None

    def __enter__(self) -> Beside:
        self._future = self._thread.submit(self._work)
        self._future.add_done_callback(self._note_the_end)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()

    def _note_the_end(self, _: Future[Completed]) -> None:
        self.over = self._now()

    @property
    def running(self) -> bool:
        return self._future is not None and not self._future.done()

    def ended(self) -> Completed | Unavailable:
        """Wait for the end; say why it did not run where it did not.

        Raises: GuestDied.
        """
        assert self._future is not None
        return inside.told(self._name, self._future.result)


def run(instance: Instance, argv: Sequence[str], timeout: float) -> Completed | Unavailable:
    """Run a hog to its end.

    Raises: GuestDied.
    """
    with Beside(instance, argv, timeout) as hog:
        return hog.ended()
