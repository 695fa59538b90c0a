"""A root file system -> a qcow2 with ext4 on it, without loop devices; a user's own disk -> its format."""

from __future__ import annotations

import json
import os
import re
import tempfile
import uuid
from pathlib import Path
from typing import Any, Final

from vmvc.errors import Fault, ImageError, InputError
from vmvc.images import cache, folder, tool
from vmvc.images.root import RootFs
from vmvc.spec import DiskImage

NAME: Final = "disk.qcow2"
FORMATS: Final = {"qcow2": "qcow2", "raw": "raw", "vdi": "vdi"}
_ROOM: Final = 256 * 2**20
_BLOCK: Final = 4096
_ROOT_INODE: Final = 2
_FIRST_INODE: Final = 11
_TIMELESS: Final = {"SOURCE_DATE_EPOCH": "0", "E2FSPROGS_FAKE_TIME": "1"}


def of_root(root: RootFs) -> Path:
    """Return a qcow2 with the root file system; instances write to an overlay, never to it.

    Raises: ImageError.
    """
    return cache.once(root.tar.parent / NAME, lambda path: _build(root, path))


def _build(root: RootFs, path: Path) -> None:
    identity = str(uuid.uuid5(uuid.NAMESPACE_OID, root.digest))
    with tempfile.TemporaryDirectory(prefix=f"{path.name}-", dir=path.parent) as name:
        tree, raw, owners = Path(name, "root"), Path(name, "disk.raw"), str(Path(name, "owners"))
        # Without root, fakeroot remembers the owners: a file carries them from tar to mke2fs.
        fake = os.geteuid() != 0
        folder.unpack(root.tar, tree, prefix=("fakeroot", "-s", owners, "--") if fake else ())
        prefix = ("fakeroot", "-i", owners, "--") if fake else ()
        size = room(content(tree))
        with raw.open("wb") as file:
            file.truncate(size)
        tool.run(
            [
                *prefix,
                *("mke2fs", "-q", "-t", "ext4", "-d", tree, "-L", "vmvc", "-U", identity, "-m", "0"),
                *("-E", f"hash_seed={identity},lazy_itable_init=0,root_owner=0:0", "-F", raw),
            ],
            doing="make the disk's file system",
            env=_TIMELESS,
        )
        _forget_when_unpacked(raw, Path(name, "commands"))
        tool.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, path], doing="convert the disk")


def _forget_when_unpacked(raw: Path, commands: Path) -> None:
    """Give every inode one time of access and change: mke2fs takes over those of the unpacked tree.

    Source: e2fsprogs 1.47.0, misc/create_inode.c, set_inode_extra.
    """
    said = tool.run(["dumpe2fs", "-h", raw], doing="look at the disk's file system").decode()
    inodes, free = (
        int(count) for count in re.findall(r"^(?:Inode count|Free inodes): +(\d+)$", said, re.MULTILINE)
    )
    used = (_ROOT_INODE, *range(_FIRST_INODE, inodes - free + 1))
    commands.write_text(
        "".join(f"sif <{inode}> {time} @1\n" for inode in used for time in ("ctime", "atime"))
    )
    tool.run(["debugfs", "-w", "-f", commands, raw], doing="set the times on the disk", env=_TIMELESS)


def content(tree: Path) -> int:
    """Return the bytes that a folder's files fill on a disk with blocks of 4 KiB, each file once."""
    seen = {}
    for above, folders, files in os.walk(tree):
        for name in (*folders, *files):
            status = os.lstat(os.path.join(above, name))  # noqa: PTH118 - a hundred thousand names
            seen[status.st_ino] = -(-status.st_size // _BLOCK) * _BLOCK
    return sum(seen.values())


def room(used: int) -> int:
    """Return the size of a disk for so many bytes of files: 1.3 times them and 256 MiB, in whole MiB."""
    return -(-(used * 13 // 10 + _ROOM) // 2**20) * 2**20


# --- a user's own disk ------------------------------------------------------------------------------------


def own(image: DiskImage, base: Path) -> tuple[Path, str]:
    """Return path and format of a user's disk; a relative path starts at ``base``.

    Raises: InputError where it is not a disk that a machine can boot from.
    """
    path = (base / Path(image.disk).expanduser()).absolute()
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise InputError(
            Fault(
                f"the disk image {path} {what}", hint="check images: disk; a relative path starts at the file"
            )
        )
    if path.stat().st_size == 0:
        raise InputError(Fault(f"the disk image {path} is empty", hint="name a qcow2, raw or VDI file"))
    found = str(_inspect(path)["format"])
    if image.format not in ("auto", found):
        raise InputError(
            Fault(
                f"the disk image {path} is {found}, not {image.format}",
                hint="leave format out, or correct it",
            )
        )
    if found not in FORMATS:
        raise InputError(
            Fault(
                f"the disk image {path} is of the format {found}, expected one of {', '.join(FORMATS)}",
                hint=f"convert it: qemu-img convert -O qcow2 {path} disk.qcow2",
            )
        )
    return path, found


def own_digest(path: Path) -> str:
    """Return what names a user's disk without reading it whole: its path, size and time of change."""
    status = path.stat()
    return cache.digest_of("disk", str(path), status.st_size, status.st_mtime_ns)


def _inspect(path: Path) -> dict[str, Any]:
    try:
        said = tool.run(["qemu-img", "info", "--output=json", "-U", path], doing=f"inspect {path}")
    except ImageError as error:
        if error.hint.startswith("sudo"):
            raise
        raise InputError(
            Fault(f"the disk image {path} cannot be read: {error.what}", hint="name a qcow2, raw or VDI file")
        ) from error
    info: dict[str, Any] = json.loads(said)
    return info
