"""Items of an archive, or a root file system's tar -> a cpio that the kernel unpacks as initramfs.

The "newc" format; archives may be concatenated, the kernel unpacks one after the other.
"""

from __future__ import annotations

import stat
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from vmvc.images.archive import Item, Tree, with_folders

_KINDS: Final = {"file": stat.S_IFREG, "folder": stat.S_IFDIR, "link": stat.S_IFLNK, "device": stat.S_IFCHR}
_TAR_KINDS: Final = {
    tarfile.REGTYPE: stat.S_IFREG,
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.SYMTYPE: stat.S_IFLNK,
}


def of_items(items: Iterable[Item]) -> bytes:
    """Return the archive of items, every folder above them included."""
    parts = []
    for number, item in enumerate(with_folders(items), start=1):
        content = item.target.encode(errors="surrogateescape") if item.kind == "link" else item.content
        parts.append(_entry(number, item.path, _KINDS[item.kind] | item.mode, content, device=item.device))
    return b"".join([*parts, _TRAILER])


def of_tar(path: Path, below: str) -> bytes:
    """Return the archive of a tar of ours (files, folders, symbolic links), put below a folder."""
    parts = [_entry(1, below, stat.S_IFDIR | 0o755, b"")]
    with tarfile.open(path, "r:") as tar:
        for number, (name, member) in enumerate(sorted(Tree(path).members.items()), start=2):
            content = b""
            if member.issym():
                content = member.linkname.encode(errors="surrogateescape")
            elif member.isreg() and (data := tar.extractfile(member)) is not None:
                content = data.read()
            mode = _TAR_KINDS[member.type] | member.mode
            owner = (member.uid, member.gid)
            parts.append(_entry(number, f"{below}/{name}", mode, content, owner=owner))
    return b"".join([*parts, _TRAILER])


def _entry(
    number: int,
    name: str,
    mode: int,
    content: bytes,
    *,
    owner: tuple[int, int] = (0, 0),
    device: tuple[int, int] = (0, 0),
) -> bytes:
    path = name.encode(errors="surrogateescape") + b"\0"
    fields = (number, mode, *owner, 1, 0, len(content), 0, 0, *device, len(path), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + path) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


_TRAILER: Final = _entry(0, "TRAILER!!!", 0, b"")
