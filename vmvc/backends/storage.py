"""Folders -> the bytes that they hold and the blocks that they occupy."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BLOCK: Final = 512
"""Bytes; the unit of ``st_blocks`` on every file system."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes of all files (links count, folders do not, as in Docker), and bytes of all blocks in use."""

    content: int = 0
    blocks: int = 0


def footprint(folders: Iterable[Path]) -> Footprint:
    """Sum up everything in and under ``folders``, each inode once.

    Symbolic links are not followed; other file systems mounted below are left out, as are files that vanish.

    Raises: OSError where a folder cannot be read.
    """
    seen: set[tuple[int, int]] = set()
    content = blocks = 0
    for folder in folders:
        top = folder.stat(follow_symlinks=False)
        for one in (top, *_below(folder, top.st_dev)):
            if (one.st_dev, one.st_ino) not in seen:
                seen.add((one.st_dev, one.st_ino))
                content += 0 if stat.S_ISDIR(one.st_mode) else one.st_size
                blocks += one.st_blocks * BLOCK
    return Footprint(content, blocks)


def _below(folder: Path | str, device: int) -> Iterator[os.stat_result]:
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                one = entry.stat(follow_symlinks=False)
                if one.st_dev != device:
                    continue
                yield one
                if entry.is_dir(follow_symlinks=False):
                    yield from _below(entry.path, device)
