"""An image -> one root file system: a tar and how it wants to be run; every rendering is made from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from vmvc.contract import Guest
from vmvc.errors import Fault, ImageError, InputError
from vmvc.images import cache
from vmvc.images.archive import Tree
from vmvc.spec import DiskImage, Image, OciImage

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""The search path of a container whose image sets none."""


@dataclass(frozen=True, slots=True)
class RootFs:
    """One root file system and how it wants to be run.

    ``digest``: SHA-256 of what it was made from. ``tar``: plain, owned by root, the one source of every
    rendering. ``command``: empty where the image has none. ``user``: as in a container image (``""``: root).
    """

    digest: str
    tar: Path
    command: tuple[str, ...]
    env: Mapping[str, str]
    user: str
    workdir: str
    stop_signal: str


@dataclass(frozen=True, slots=True)
class Config:
    """How a root file system wants to be run."""

    command: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    user: str = ""
    workdir: str = "/"
    stop_signal: str = "SIGTERM"


@dataclass(frozen=True, slots=True)
class Identity:
    """Numbers and home of the user that a command runs as; ``others`` are supplementary groups."""

    uid: int
    gid: int
    home: str
    others: tuple[int, ...] = ()


def root_filesystem(image: Image, folder: Path) -> RootFs:
    """Return the image's root file system, built where it is not in the cache.

    Raises: ImageError; InputError for a disk image, which is no root file system.
    """
    if isinstance(image, DiskImage):
        raise InputError(
            Fault(
                f"the disk image {image.disk} boots only in virtual machines",
                hint="use a recipe or an oci image for backends that are not machines",
            )
        )
    if isinstance(image, OciImage):
        from vmvc.images import oci

        digest, config = oci.build(image)
    elif image.base == "tiny":
        from vmvc.images import tiny

        digest, config = tiny.build(image)
    else:
        from vmvc.images import debian

        digest, config = debian.build(image)
    if image.command is not None:
        config = replace(config, command=image.command)
    return RootFs(
        digest=digest,
        tar=cache.image_folder(digest) / cache.ROOT,
        command=config.command,
        env=dict(config.env),
        user=config.user,
        workdir=config.workdir,
        stop_signal=config.stop_signal,
    )


def command_of(guest: Guest, root: RootFs) -> tuple[str, ...]:
    """Return what runs in the guest: its own command, else the image's.

    Raises: InputError where there is neither.
    """
    command = guest.command or root.command
    if not command:
        raise InputError(
            Fault("the image has no command to run", hint="name one: guest.command, or services in the image")
        )
    return tuple(command)


def identity(tree: Tree, user: str) -> Identity:
    """Return who ``name``, ``uid``, ``name:group``, ``uid:gid`` or nothing (root) is in a root file system.

    Raises: ImageError where the root has no such user or group.
    """
    name, _, group = (user or "0").partition(":")
    accounts = _rows(tree.read("/etc/passwd"), 6)
    entry = next((row for row in accounts if name in (row[0], row[2])), None)
    if entry is None and not name.isdigit():
        raise ImageError(
            f"the image has no user '{name}' in /etc/passwd", hint="name the user by number, or add it"
        )
    groups = _rows(tree.read("/etc/group"), 3)
    home = (entry[5] if entry else "") or "/"
    uid = int(entry[2]) if entry else int(name)
    if group:
        chosen = next((row for row in groups if group in (row[0], row[2])), None)
        if chosen is None and not group.isdigit():
            raise ImageError(
                f"the image has no group '{group}' in /etc/group", hint="name the group by number, or add it"
            )
        return Identity(uid, int(chosen[2]) if chosen else int(group), home)
    others = tuple(int(row[2]) for row in groups if entry and len(row) > 3 and entry[0] in row[3].split(","))
    return Identity(uid, int(entry[3]) if entry else 0, home, others)


def _rows(content: bytes | None, least: int) -> list[Sequence[str]]:
    lines = (content or b"").decode(errors="surrogateescape").splitlines()
    rows = [line.split(":") for line in lines]
    return [row for row in rows if len(row) >= least and row[2].isdigit()]
