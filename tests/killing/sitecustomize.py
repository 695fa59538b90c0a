"""``KILL_AT=parent:37`` -> the process that is meant ends by SIGKILL at that instant: as if power were cut.

Python loads this module in every process whose PYTHONPATH names its folder: the command and the child that
runs its trials. An instant is just before or just after a call that others can see: a write, a sync, a
rename, a removal. It happens once: ``KILL_ONCE`` names the file that says so. ``KILL_LOG`` names a file that
gets one line an instant instead.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

_SEEN = (
    *("open", "write", "fsync", "ftruncate", "rename", "replace", "unlink", "remove", "mkdir", "rmdir"),
    *("chmod", "fchmod", "kill", "pipe", "posix_spawn"),
)


def _part() -> str:
    """Say which process of a run this is: the parent, its worker, or one that is not meant."""
    if "vmvc.worker" in " ".join(sys.orig_argv):
        return "worker"
    return "parent" if any(one.endswith("/vmvc") for one in sys.orig_argv) else "other"


class _Instants:
    """Counts instants; at the chosen one the process ends."""

    def __init__(self, part: str, chosen: int, log: str) -> None:
        self._part, self._chosen, self._count = part, chosen, 0
        self._log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644) if log else -1
        self._open, self._write, self._kill = os.open, os.write, os.kill
        self._lock = threading.Lock()

    def pass_by(self, what: str) -> None:
        with self._lock:
            self._count += 1
            if self._log >= 0:
                self._write(self._log, f"{self._part}:{self._count} {what}\n".encode())
            if self._count == self._chosen and self._first():
                self._kill(os.getpid(), signal.SIGKILL)

    def _first(self) -> bool:
        try:
            self._open(os.environ["KILL_ONCE"], os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            return False
        return True

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **named: Any) -> Any:
            self.pass_by(f"before {name}")
            try:
                return call(*arguments, **named)
            finally:
                self.pass_by(f"after {name}")

        return watched


def _watch() -> None:
    part, _, chosen = os.environ.get("KILL_AT", ":0").partition(":")
    log = os.environ.get("KILL_LOG", "")
    here = _part()
    if here == "other" or not (log or here == part):
        return
    instants = _Instants(here, int(chosen) if here == part else 0, log)
    for name in _SEEN:
        setattr(os, name, instants.around(name, getattr(os, name)))


_watch()
