"""Debian's package ``dropbear-bin`` -> a small SSH server with its libraries, for any root file system."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vmvc.errors import ImageError
from vmvc.images import cache, packages, tool

PACKAGE: Final = "dropbear-bin"
LOADER: Final = "ld-linux-x86-64.so.2"
PROGRAMS: Final = ("dropbear", "dropbearkey")
_VERSION: Final = "version"
_LIBRARIES: Final = re.compile(r"lib|zlib1g$")
"""Names of the packages that may hold a library."""
_NEEDED: Final = re.compile(r"^\s*([^/\s]+) => ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Dropbear:
    """The server, the program that makes its keys, the loader and the libraries: all in one ``folder``."""

    folder: Path
    version: str

    @property
    def libraries(self) -> Sequence[Path]:
        return sorted(path for path in self.folder.iterdir() if path.name.startswith("lib"))

    def digest(self) -> str:
        """Return the digest of all of its files."""
        return cache.digest_of(
            {path.name: cache.digest_of_file(path) for path in sorted(self.folder.iterdir())}
        )

    def key(self, path: Path) -> str:
        """Make a host's private key there, readable by this user alone; return its public half.

        Raises: ImageError.
        """
        said = tool.run(
            [*_by_loader(self.folder), self.folder / "dropbearkey", "-t", "ed25519", "-f", path],
            doing="make a host key for guests",
        ).decode()
        public = re.search(r"^(ssh-ed25519 \S+)", said, re.MULTILINE)
        if public is None:
            raise ImageError(f"dropbearkey {self.version} does not tell the public half of the key it made")
        return public[1]


def dropbear() -> Dropbear:
    """Return the server, downloaded where it is not in the cache.

    Raises: ImageError.
    """
    folder = cache.once(cache.cache_dir() / "programs" / "dropbear", _download)
    return Dropbear(folder, (folder / _VERSION).read_text())


def _download(folder: Path) -> None:
    folder.mkdir(parents=True)
    found = folder / "found"
    found.mkdir()
    with packages.unpacked(PACKAGE) as (files, version):
        for program in PROGRAMS:
            shutil.copy(_program(files, program), folder / program)
        (folder / _VERSION).write_text(version)
    seen, waiting = {PACKAGE}, packages.depends(PACKAGE)
    while waiting:
        name = waiting.pop()
        if name in seen or not _LIBRARIES.match(name):
            continue
        seen.add(name)
        waiting += packages.depends(name)
        with packages.unpacked(name) as (files, _):
            for path in files.rglob("*.so*"):
                if path.is_file() and path.parent.name != "gconv":
                    shutil.copy(path, found / path.name)
    if not (found / LOADER).is_file():
        raise _lacking(LOADER, seen)
    said = "".join(
        tool.run(
            [*_by_loader(found), "--list", folder / program], doing=f"find what {program} needs"
        ).decode()
        for program in PROGRAMS
    )
    for name in {LOADER, *_NEEDED.findall(said)}:
        if not (found / name).is_file():
            raise _lacking(name, seen)
        shutil.copy(found / name, folder / name)
    shutil.rmtree(found)


def _lacking(name: str, packages: Iterable[str]) -> ImageError:
    what = f"none of the packages {' '.join(sorted(packages))} has {name}"
    return ImageError(what, hint="sudo apt-get update, then try again")


def _program(files: Path, name: str) -> Path:
    found = next((path for path in files.rglob(name) if path.parent.name in ("bin", "sbin")), None)
    if found is None:
        raise ImageError(f"the package {PACKAGE} has no {name}", hint="sudo apt-get update")
    return found


def _by_loader(libraries: Path) -> list[str | Path]:
    """Return how a program is run with these libraries, not with the host's."""
    return [libraries / LOADER, "--library-path", libraries]
