"""A small file of ``/proc`` or ``/sys`` -> its value, ``None`` where the host does not show it."""

from __future__ import annotations

import re
from pathlib import Path


def text(path: Path) -> str | None:
    """Return what the file holds, without the spaces around it."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None


def number(path: Path) -> int | None:
    """Return the natural number that the file holds."""
    found = text(path)
    return int(found) if found is not None and found.isdecimal() else None


def switch(path: Path) -> bool | None:
    """Return whether the file holds 1."""
    found = number(path)
    return None if found is None else found == 1


def chosen(path: Path) -> str | None:
    """Return the bracketed word of a setting such as ``always [madvise] never``."""
    match = re.search(r"\[(\S+)]", text(path) or "")
    return match[1] if match else None
