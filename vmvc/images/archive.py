"""Entries -> a reproducible tar; a tar -> its tree, in which paths resolve as inside the root."""

from __future__ import annotations

import io
import posixpath
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from vmvc.errors import ImageError

_LINKS: Final = 40
"""As many symbolic links as Linux follows in one path."""


@dataclass(frozen=True, slots=True)
class Item:
    """One file, folder, symbolic link (``target``) or character device (``device``); owned by root."""

    path: str
    kind: Literal["file", "folder", "link", "device"]
    mode: int
    content: bytes = b""
    target: str = ""
    device: tuple[int, int] = (0, 0)


def folder(path: str, mode: int = 0o755) -> Item:
    return Item(path, "folder", mode)


def file(path: str, content: bytes | str, mode: int = 0o644) -> Item:
    return Item(path, "file", mode, content.encode() if isinstance(content, str) else content)


def link(path: str, target: str) -> Item:
    return Item(path, "link", 0o777, target=target)


def text_mode(content: str) -> int:
    """Return the mode of a text file of a recipe: scripts (``#!``) can be run."""
    return 0o755 if content.startswith("#!") else 0o644


def with_folders(items: Iterable[Item]) -> list[Item]:
    """Return the items by path, each once (the last one counts), with every folder above them.

    Raises: ImageError where something is below what is no folder.
    """
    found: dict[str, Item] = {}
    for item in items:
        found[item.path] = item
    for path in list(found):
        above = posixpath.dirname(path)
        while above:
            if found.setdefault(above, folder(above)).kind != "folder":
                raise ImageError(f"the image's {above} is not a folder", hint=f"correct files: /{path}")
            above = posixpath.dirname(above)
    return [found[path] for path in sorted(found)]


def write_tar(path: Path, items: Iterable[Item]) -> None:
    """Write a tar that depends on nothing but the items: sorted, time 0, owned by root."""
    kinds = {
        "file": tarfile.REGTYPE,
        "folder": tarfile.DIRTYPE,
        "link": tarfile.SYMTYPE,
        "device": tarfile.CHRTYPE,
    }
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for item in with_folders(items):
            info = tarfile.TarInfo(item.path)
            info.type, info.mode, info.size = kinds[item.kind], item.mode, len(item.content)
            info.linkname = item.target
            info.devmajor, info.devminor = item.device
            info.uname = info.gname = "root"
            tar.addfile(info, io.BytesIO(item.content))


class Tree:
    """The index of a root file system's tar; ``read`` and ``find`` follow symbolic links inside the root."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with tarfile.open(path, "r:") as tar:
                self._members = {_normal(member.name): member for member in tar}
        except (tarfile.TarError, OSError) as error:
            raise ImageError(
                f"the root file system {path} cannot be read: {error}",
                hint="vmvc image remove, and build it again",
            ) from error

    @property
    def members(self) -> Mapping[str, tarfile.TarInfo]:
        """Every member by its path without a leading slash."""
        return self._members

    def resolve(self, path: str) -> str | None:
        """Return the real path (no leading slash) of a guest path; ``None`` where nothing is there."""
        real, todo, links = "", [part for part in path.split("/") if part not in ("", ".")], 0
        while todo:
            part = todo.pop(0)
            if part == "..":
                real = posixpath.dirname(real)
                continue
            here = posixpath.join(real, part)
            member = self._members.get(here)
            if member is None:
                return None
            if member.issym():
                links += 1
                if links > _LINKS:
                    return None
                if member.linkname.startswith("/"):
                    real = ""
                todo = [one for one in member.linkname.split("/") if one not in ("", ".")] + todo
                continue
            real = here
        return real

    def find(self, path: str) -> tarfile.TarInfo | None:
        """Return what is at a guest path, hard links followed; ``None`` where nothing is there."""
        real = self.resolve(path)
        member = self._members.get(real) if real else None
        return (
            self._members.get(_normal(member.linkname)) if member is not None and member.islnk() else member
        )

    def read(self, path: str) -> bytes | None:
        """Return the content of a file; ``None`` where no file is there."""
        member = self.find(path)
        if member is None or not member.isreg():
            return None
        with tarfile.open(self._path, "r:") as tar:
            content = tar.extractfile(member)
            return content.read() if content is not None else None

    def program(self, name: str, search: str) -> str | None:
        """Return the path that a command's first word means with ``search`` as its PATH."""
        places = [name] if "/" in name else [f"{place or '.'}/{name}" for place in search.split(":")]
        for place in places:
            member = self.find(place)
            if member is not None and member.isreg() and member.mode & 0o111:
                return place
        return None


def _normal(name: str) -> str:
    """Return a member's name without ``./``, double slashes and slashes at the ends; ``""`` for the root."""
    return "/".join(part for part in name.split("/") if part not in ("", "."))
