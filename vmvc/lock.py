"""A file -> the right to measure on this host: one run at a time."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from vmvc.errors import EngineError


@contextmanager
def measuring(wait: bool) -> Iterator[None]:
    """Hold the host's lock, so that two runs never measure at once.

    Raises: EngineError where another run measures and ``wait`` is false.
    """
    path = Path(os.environ.get("VMVC_LOCK") or Path(tempfile.gettempdir()) / "vmvc.lock")
    lock = FileLock(path, mode=0o666)
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout as error:
        raise EngineError(
            "another vmvc run measures on this host; two at once would spoil each other's numbers",
            hint="wait for it, or add --wait",
        ) from error
    except OSError as error:
        raise EngineError(
            f"{path}: {error.strerror}", hint="set VMVC_LOCK to a file you can write"
        ) from error
    try:
        yield
    finally:
        lock.release()
