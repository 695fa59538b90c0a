"""Named bytes -> a ZIP file; the same names and bytes give the same file."""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vmvc.unpacking import DIGESTS

EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""The first moment that a ZIP file can name: when something was packed is nobody's business."""
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of a file."""

    size: int
    sha256: str


class Archive:
    """An open ZIP file; ``files`` holds every name so far."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.files: dict[str, Kept] = {}

    def text(self, name: str, content: str) -> None:
        """Add a text."""
        data = content.encode()
        self._archive.writestr(_entry(name), data)
        self.files[name] = Kept(len(data), hashlib.sha256(data).hexdigest())

    def file(self, name: str, source: Path) -> None:
        """Add a file's bytes as they are now.

        Raises: OSError where it is none or cannot be read.
        """
        digest, size = hashlib.sha256(), 0
        handle = os.open(source, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
        with open(handle, "rb") as file, self._archive.open(_entry(name), "w", force_zip64=True) as target:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
                target.write(chunk)
        self.files[name] = Kept(size, digest.hexdigest())

    def folder(self, name: str) -> None:
        """Add an empty folder; its name ends with a slash."""
        entry = zipfile.ZipInfo(name, EPOCH)
        entry.create_system = 3
        entry.external_attr = (stat.S_IFDIR | 0o755) << 16 | 0x10
        self._archive.writestr(entry, b"")

    def close(self) -> None:
        """Add the digests of all files as the last one."""
        lines = (f"{kept.sha256}  {name}\n" for name, kept in sorted(self.files.items()))
        self._archive.writestr(_entry(DIGESTS), "".join(lines))


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    return entry
