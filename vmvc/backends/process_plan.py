"""A guest and its root file system -> what the launcher runs, as which user, with which environment."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from vmvc.backends.process_launch import Plan
from vmvc.contract import Guest
from vmvc.errors import EngineError, ImageError
from vmvc.images import RootFs, command_of

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""As in a container whose image sets none."""


def in_root(guest: Guest, root: RootFs, folder: Path) -> Plan:
    """Return the plan for a command in a root file system that is unpacked at ``folder``.

    Raises: ImageError where the image names a user that it does not have.
    """
    user, home = _identity(folder, root.user)
    env = {"PATH": PATH, "HOME": home, **root.env, **guest.env}
    return Plan(command_of(guest, root), env, root.workdir or "/", user)


def on_host(guest: Guest, root: RootFs, environment: dict[str, str]) -> Plan:
    """Return the plan for the host's own program of the same name.

    Raises: EngineError where the host has none.
    """
    command = command_of(guest, root)
    env = {"PATH": PATH, "HOME": environment.get("HOME", "/"), **guest.env}
    program = shutil.which(command[0], path=environment.get("PATH", PATH))
    if program is None:
        raise EngineError(
            f"this host has no program '{command[0]}', and only root can run the image's own by chroot",
            hint="run vmvc as root, or install the program on this host",
        )
    return Plan((program, *command[1:]), env)


def _identity(folder: Path, user: str) -> tuple[tuple[int, int, tuple[int, ...]], str]:
    """Return ids and home of ``user``, ``user:group``, ``uid`` or ``uid:gid`` ("": root), as Docker does.

    Raises: ImageError.
    """
    name, _, group = (user or "0").partition(":")
    entry = next((row for row in _rows(folder / "etc/passwd", 6) if name in (row[0], row[2])), None)
    if entry is None and not name.isdigit():
        raise ImageError(f"the image has no user '{name}'", hint="add it, or name it by number")
    uid = int(entry[2]) if entry else int(name)
    home = (entry[5] if entry else "") or "/"
    groups = list(_rows(folder / "etc/group", 3))
    if group:
        chosen = next((row for row in groups if group in (row[0], row[2])), None)
        if chosen is None and not group.isdigit():
            raise ImageError(f"the image has no group '{group}'", hint="add the group, or name it by number")
        return (uid, int(chosen[2]) if chosen else int(group), ()), home
    others = (int(row[2]) for row in groups if entry and len(row) > 3 and entry[0] in row[3].split(","))
    return (uid, int(entry[3]) if entry else 0, tuple(others)), home


def _rows(path: Path, least: int) -> Iterator[Sequence[str]]:
    """Yield the rows of a passwd or group file with at least so many fields; none where there is no file."""
    try:
        text = path.read_text(errors="surrogateescape")
    except OSError:
        return
    for line in text.splitlines():
        row = line.split(":")
        if len(row) >= least and row[2].isdigit():
            yield row
