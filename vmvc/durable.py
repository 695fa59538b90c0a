"""Text -> a file that is whole and on the disk, or not there at all."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path

import psutil


@contextmanager
def writing(path: Path) -> Iterator[TextIOWrapper]:
    """Replace a text file (UTF-8, ``\n``) in one step; a reader sees the old bytes or the new ones.

    What a killed process has left of its own try is removed.

    Raises: OSError; the old file is then untouched.
    """
    _sweep(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=_mine(path, os.getpid()))
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _mine(path: Path, pid: int) -> str:
    """Return how a process's temporary files begin: its host and its id tell whether it lives."""
    return f".{path.name}.{platform.node()}.{pid}."


def _sweep(path: Path) -> None:
    begin = _mine(path, 0).removesuffix("0.")
    for left in path.parent.glob(f".{path.name}.*"):
        pid, _, _ = left.name.removeprefix(begin).partition(".")
        if left.name.startswith(begin) and pid.isdecimal() and not psutil.pid_exists(int(pid)):
            left.unlink(missing_ok=True)


def write(path: Path, content: str | bytes) -> None:
    """Replace a file in one step; text is written as UTF-8.

    Raises: OSError; the old file is then untouched.
    """
    with writing(path) as file:
        file.buffer.write(content.encode() if isinstance(content, str) else content)


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable; a no-op where folders cannot be opened (Windows).

    Raises: OSError.
    """
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
