"""This host, or its package archive -> one statically linked busybox: the tiny image and the minimal init."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from typing import Final

from vmvc.errors import ImageError
from vmvc.images import cache, packages, tool

_PT_INTERP: Final = 3


def busybox() -> Path:
    """Return the path of a static busybox.

    Raises: ImageError where neither this host nor its package archive has one.
    """
    for name in (shutil.which("busybox"), "/bin/busybox"):
        if name is not None and is_static(Path(name)):
            return Path(name).resolve()
    return cache.once(cache.cache_dir() / "programs" / "busybox", _download)


def applets(path: Path) -> list[str]:
    """Return the names of the commands that a busybox has."""
    return sorted(tool.run([path, "--list"], doing="ask busybox for its commands").decode().split())


def is_static(path: Path) -> bool:
    """Say whether a file is a 64-bit ELF program that needs no loader."""
    try:
        head = path.read_bytes()
    except OSError:
        return False
    if head[:5] != b"\x7fELF\x02":
        return False
    start, size, count = (
        struct.unpack_from("<Q", head, 0x20)[0],
        struct.unpack_from("<H", head, 0x36)[0],
        struct.unpack_from("<H", head, 0x38)[0],
    )
    kinds = [struct.unpack_from("<I", head, start + number * size)[0] for number in range(count)]
    return _PT_INTERP not in kinds


def _download(path: Path) -> None:
    with packages.unpacked("busybox-static") as (folder, _):
        found = next(
            (one for one in (folder / "bin/busybox", folder / "usr/bin/busybox") if one.is_file()), None
        )
        if found is None or not is_static(found):
            raise ImageError(
                "the package busybox-static has no static busybox in it",
                hint="sudo apt-get install busybox-static",
            )
        shutil.copy(found, path)
