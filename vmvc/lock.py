"""A file -> the right to measure on this host: one run at a time, whoever starts it and wherever.

The kernel gives the lock back when its process ends, however that comes; so no lock is ever stale. Who holds
it stands in a note beside it, which is believed only while that process lives.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vmvc import owner
from vmvc.errors import EngineError

_SHARED: Final = Path("/run/lock")
"""Where every user of a Linux host may put locks; else it is the folder for temporary files."""


@contextmanager
def measuring(
    wait: bool, what: str = "", tell: Callable[[str], None] = lambda holder: None
) -> Iterator[None]:
    """Hold the host's lock, so that two runs never measure at once.

    ``what`` names this run for others. ``tell`` is called once, before waiting, with who holds the lock.

    Raises: EngineError where another run measures and ``wait`` is false.
    """
    path = Path(os.environ.get("VMVC_LOCK") or _place() / "vmvc.lock")
    lock = FileLock(path, mode=0o666)
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            other = f"another vmvc run measures on this host{_holder(path)}"
            if not wait:
                why = "two at once would spoil each other's numbers"
                raise EngineError(f"{other}; {why}", hint="wait for it, or add --wait") from error
            tell(other)
            lock.acquire(timeout=-1)
    except OSError as error:
        raise EngineError(
            f"{path}: {error.strerror}", hint="set VMVC_LOCK to a file you can write"
        ) from error
    try:
        _note(path, what)
        yield
    finally:
        with suppress(OSError):
            _note_beside(path).unlink(missing_ok=True)
        lock.release()


def _place() -> Path:
    """Return the same folder for every user and every setting of TMPDIR, where the host has one."""
    with suppress(OSError):
        mode = _SHARED.stat().st_mode
        if stat.S_ISDIR(mode) and mode & stat.S_ISVTX and mode & stat.S_IWOTH:
            return _SHARED
    return Path("/tmp") if os.name == "posix" else Path(tempfile.gettempdir())


def _note_beside(path: Path) -> Path:
    return path.with_name(path.name + ".holder")


class _Note(BaseModel):
    """Who holds the lock; anybody may have written it, so what it says is bounded and plain."""

    model_config = ConfigDict(strict=True, extra="forbid")

    owner: str = Field(max_length=300)
    pid: int
    since: str = Field(max_length=40)
    what: str = Field(max_length=1000)


def _note(path: Path, what: str) -> None:
    """Write down who holds the lock; that is a courtesy, so a note that cannot be written is left out."""
    since = datetime.now().astimezone().isoformat(timespec="seconds")
    note = _Note(owner=owner.current(), pid=os.getpid(), since=since, what=what[:1000])
    with suppress(OSError):
        beside = _note_beside(path)
        beside.unlink(missing_ok=True)
        beside.write_text(note.model_dump_json(), encoding="utf-8")
        beside.chmod(0o644)


def _holder(path: Path) -> str:
    """Say who holds the lock: `` (process 12, since ...: what)``; "" where that is not known."""
    try:
        note = _Note.model_validate_json(_note_beside(path).read_bytes())
    except (OSError, ValidationError):
        return ""
    said = f" (process {note.pid}, since {note.since}: {note.what})"
    return said if owner.alive(note.owner) and said.isprintable() else ""
