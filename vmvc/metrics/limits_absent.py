"""Why a limit shows nothing -> the absence of its quantities."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from vmvc.contract import Absent, Completed, Reading
from vmvc.contract import Limits as Held
from vmvc.errors import Unavailable

UNTRIED: Final = "the limit on {} was not tried"
"""Why no hog was let loose; its word is the limit's."""


def none(names: tuple[str, ...], held: Held, limit: str) -> Iterator[Absent]:
    """Yield that there is no such limit, and why."""
    yield from absent(names, held.absent.get(limit) or "the backend does not say whether there is a limit")


def absent(names: tuple[str, ...], reason: str) -> Iterator[Absent]:
    """Yield one absence for each quantity, all for one reason."""
    for name in names:
        yield Absent(name, reason)


def or_absent(name: str, value: int | Unavailable) -> Reading | Absent:
    """Return what the host counted, or why it could not."""
    return Absent(name, value.what) if isinstance(value, Unavailable) else Reading(name, value)


def failed(name: str, ended: Completed) -> Unavailable:
    """Return why a hog that ended too early tells nothing."""
    said = " ".join(ended.stderr.decode(errors="replace").split())[-200:]
    return Unavailable(f"'{name}' in the guest ended early with {ended.returncode}: {said}".rstrip(": "))
