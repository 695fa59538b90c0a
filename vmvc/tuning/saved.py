"""Values found on the host -> a file that outlives a kill; and back from it onto the host, byte for byte.

A value is put back only where the host still holds what vmvc set: what somebody else changed meanwhile is
left alone and reported. Settings do not outlive a boot, so neither do the values saved before it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import platformdirs
from filelock import FileLock, Timeout

from vmvc import durable, host, owner
from vmvc.errors import EngineError
from vmvc.tuning.settings import Change, belongs, same

SYSTEM: Final = Path("/var/lib/vmvc")
"""Where root keeps them."""
VERSION: Final = 1
_LOCKED_WITHIN: Final = 30.0


class End(StrEnum):
    """How it went with one file: ``same``: it held the value found already; ``left``: somebody changed it."""

    RESTORED = "restored"
    SAME = "same"
    LEFT = "left"
    GONE = "gone"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of one saved value; ``now``: what the file holds, ``why``: what the host said."""

    change: Change
    end: End
    now: bytes = b""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Saved:
    """Values that one run found; ``boot``: the id of the boot that they belong to."""

    owner: str
    boot: str
    changes: tuple[Change, ...]

    @property
    def alive(self) -> bool:
        return owner.alive(self.owner)


def folder() -> Path:
    """Return where this user keeps values: ``VMVC_STATE``, else root's place, else the user's own."""
    if given := os.environ.get("VMVC_STATE"):
        return Path(given)
    return SYSTEM if _is_root() else Path(platformdirs.user_state_dir("vmvc"))


def file_of(place: Path) -> Path:
    """Return the file of this host there: a home may be shared by several hosts."""
    return place / f"tuning-{owner.current().partition(':')[0]}.json"


@contextmanager
def locked(place: Path, *, make: bool = False) -> Iterator[None]:
    """Keep other processes from saving or putting back at the same time; a no-op where nothing is kept.

    Raises: EngineError.
    """
    if not make and not file_of(place).exists():
        yield
        return
    try:
        place.mkdir(mode=0o755, parents=True, exist_ok=True)
        lock = FileLock(place / "tuning.lock", mode=0o644)
        lock.acquire(timeout=_LOCKED_WITHIN)
    except Timeout as error:
        raise EngineError(
            f"another vmvc has held {place} for {_LOCKED_WITHIN:g} s", hint="try again when it has ended"
        ) from error
    except OSError as error:
        raise EngineError(
            f"{place}: {error.strerror}; without it the host's settings could not be put back after a kill",
            hint="set VMVC_STATE to a folder you can write",
        ) from error
    try:
        yield
    finally:
        lock.release()


def read(place: Path) -> Saved | None:
    """Return what is kept there for this host, ``None`` where nothing is.

    Raises: EngineError where the file is not one that vmvc wrote.
    """
    path = file_of(place)
    try:
        kept = json.loads(path.read_bytes())
        if kept["version"] != VERSION:
            raise ValueError(f"version {kept['version']}")
        changes = tuple(
            Change(
                str(one["setting"]),
                Path(one["path"]),
                one["found"].encode("latin-1"),
                one["wanted"].encode("latin-1"),
            )
            for one in kept["changes"]
        )
        return Saved(str(kept["owner"]), str(kept["boot"]), changes)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise EngineError(f"{path}: {error.strerror}", hint="run vmvc as the user who wrote it") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EngineError(
            f"{path}: not a file of this vmvc ({error}): settings of the host may still be changed",
            hint="put them back by hand (the file names paths and values), then remove it",
        ) from error


def write(place: Path, saved: Saved) -> None:
    """Keep values; on return they are on the disk.

    Raises: EngineError.
    """
    kept = {
        "version": VERSION,
        "owner": saved.owner,
        "boot": saved.boot,
        "changes": [
            {
                "setting": one.setting,
                "path": str(one.path),
                "found": one.found.decode("latin-1"),
                "wanted": one.wanted.decode("latin-1"),
            }
            for one in saved.changes
        ],
    }
    try:
        durable.write(file_of(place), json.dumps(kept, indent=1) + "\n")
    except OSError as error:
        raise EngineError(f"{place}: {error.strerror}", hint="make room, or set VMVC_STATE") from error


def put_back(place: Path, saved: Saved, root: Path) -> list[Restored]:
    """Put values back, the last change first, and forget those that need no more doing.

    What could not be written stays on file. After another boot nothing is written: all is as booted.

    Raises: EngineError where the file cannot be written.
    """
    ends: list[Restored] = []
    if saved.boot == host.boot_id():
        ends = [_put_back(change, root) for change in reversed(saved.changes)]
    left = tuple(one.change for one in reversed(ends) if one.end is End.FAILED)
    if left:
        write(place, Saved(saved.owner, saved.boot, left))
    else:
        try:
            file_of(place).unlink(missing_ok=True)
            durable.sync_folder(place)
        except OSError as error:
            raise EngineError(f"{place}: {error.strerror}", hint="run vmvc restore as root") from error
    return ends


def others(place: Path) -> Sequence[Path]:
    """Return the folders of other users in which values of this host are kept, as far as they are known."""
    return [SYSTEM] if place != SYSTEM and not _given() and file_of(SYSTEM).exists() else []


def write_value(path: Path, value: bytes) -> None:
    """Write a file of the host that exists; never makes one.

    Raises: OSError.
    """
    file = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    try:
        os.write(file, value)
    finally:
        os.close(file)


def _put_back(change: Change, root: Path) -> Restored:
    if not belongs(change.setting, change.path, root):
        return Restored(change, End.FAILED, why="not a file of that setting")
    try:
        now = change.path.read_bytes()
        if same(now, change.found):
            return Restored(change, End.SAME, now)
        if not same(now, change.wanted):
            return Restored(change, End.LEFT, now)
        write_value(change.path, change.found)
        now = change.path.read_bytes()
    except FileNotFoundError:
        return Restored(change, End.GONE)
    except OSError as error:
        return Restored(change, End.FAILED, why=error.strerror or str(error))
    if not same(now, change.found):
        return Restored(change, End.FAILED, now, "the host did not take it")
    return Restored(change, End.RESTORED, now)


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _given() -> bool:
    return bool(os.environ.get("VMVC_STATE"))
