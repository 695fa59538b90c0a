"""A root file system -> a folder on the host that is never written to: instances lay their own over it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from vmvc.images import cache, tool
from vmvc.images.root import RootFs

NAME: Final = "unpacked"


def unpacked(root: RootFs) -> Path:
    """Return the folder; owners are the image's where this is root, device nodes are left out.

    Raises: ImageError.
    """
    return cache.once(root.tar.parent / NAME, lambda path: unpack(root.tar, path))


def discard_unpacked(root: RootFs) -> None:
    """Remove that folder.

    Raises: ImageError.
    """
    cache.discard(root.tar.parent / NAME)


def unpack(tar: Path, folder: Path, *, prefix: tuple[str, ...] = ()) -> None:
    """Unpack with numeric owners, modes, times and extended attributes; ``prefix``: a program to run tar by.

    Raises: ImageError.
    """
    folder.mkdir(parents=True)
    owner = "--same-owner" if os.geteuid() == 0 or prefix else "--no-same-owner"
    tool.run(
        [
            *prefix,
            *(
                "tar",
                "--extract",
                "--file",
                tar,
                "--directory",
                folder,
                "--numeric-owner",
                "--preserve-permissions",
            ),
            *(
                owner,
                "--xattrs",
                "--xattrs-include=*",
                "--exclude=dev/*",
                "--exclude=./dev/*",
                "--delay-directory-restore",
            ),
        ],
        doing="unpack the root file system",
    )
