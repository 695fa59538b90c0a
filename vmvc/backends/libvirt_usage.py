"""Disks and folders of a machine that exists already -> what they take of this host's storage."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from vmvc.backends import libvirt_disk, libvirt_files
from vmvc.backends.libvirt_definition import Definition
from vmvc.contract import DiskUsage


def unknown(reason: str) -> DiskUsage:
    return DiskUsage(absent=dict.fromkeys(("virtual", "allocated", "shared", "unique"), reason))


def of_files(definition: Definition) -> DiskUsage:
    """Count the top file of each disk as unique, what it stands on as shared."""
    tops, below, size = [], [], 0
    for one in definition.disks:
        assert one.path is not None
        layers = libvirt_disk.chain(one.path, one.format)
        tops.append(layers[0].path)
        below += [layer.path for layer in layers[1:]]
        size += layers[0].size
    unique, shared = libvirt_files.blocks(tops), libvirt_files.blocks(below)
    return DiskUsage(size, unique + shared, shared, unique)


def of_folders(folders: Iterable[Path]) -> DiskUsage:
    """Count the files of a container's folders, each once, whoever else uses them."""
    found: dict[tuple[int, int], int] = {}
    for folder in folders:
        for path, names, files in os.walk(folder):
            for name in (*names, *files):
                with suppress(OSError):
                    one = (Path(path) / name).lstat()
                    found[one.st_dev, one.st_ino] = one.st_blocks * libvirt_files.BLOCK
    used = sum(found.values())
    reason = "a container's folder has no size of its own"
    return DiskUsage(None, used, 0, used, {"virtual": reason})
