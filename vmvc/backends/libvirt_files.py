"""A tag -> the folder of its machine: what is written down about it, its overlay, and sockets for QEMU."""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vmvc import images
from vmvc.backends.libvirt_domain import Places
from vmvc.backends.machine_files import connected, listening
from vmvc.backends.machine_files import translated as translated
from vmvc.contract import Tag

BLOCK: Final = 512
"""Bytes; the unit of ``st_blocks``."""
CONNECTS_WITHIN: Final = 5.0
"""Seconds for QEMU, already started, to be found at its sockets."""
_RECORD: Final = "tag.json"


@dataclass(frozen=True, slots=True)
class Record:
    """What is written down about a machine before it is made, so that anybody can remove it."""

    tag: Tag
    uri: str
    sockets: Path


def records() -> Iterator[Record]:
    """Read what is written down about every machine that was not destroyed."""
    with suppress(FileNotFoundError):
        for folder in sorted(_instances().iterdir()):
            if (record := _read(folder)) is not None:
                yield record


class Files:
    """The files of one machine, in a folder that only this user can enter."""

    def __init__(self, tag: Tag) -> None:
        self._tag = tag
        self._folder = _instances() / tag.name
        self._listening: dict[Path, socket.socket] = {}

    @property
    def folder(self) -> Path:
        return self._folder

    @property
    def overlay(self) -> Path:
        return self._folder / "disk.qcow2"

    def make(self, uri: str, overlay: bytes) -> Places:
        """Make the folder and write it down, then the overlay and sockets that listen.

        Sockets are in a folder of their own, since their paths must be short.

        Raises: StepFailed.
        """
        with translated(f"make the files of {self._tag.name}"):
            self._folder.mkdir(parents=True, mode=0o700)
            sockets = Path(tempfile.mkdtemp(prefix="vmvc-"))
            record = {"labels": self._tag.labels(), "uri": uri, "sockets": str(sockets)}
            (self._folder / _RECORD).write_text(json.dumps(record))
            if overlay:
                self.overlay.write_bytes(overlay)
            return Places(self._listen(sockets / "console"), self._listen(sockets / "channel"), self.overlay)

    def accept(self, path: Path) -> socket.socket:
        """Return QEMU's connection to a socket.

        Raises: StepFailed where it has not connected.
        """
        with translated("find QEMU at its console"):
            return connected(self._listening.pop(path), CONNECTS_WITHIN)

    def record(self) -> Record | None:
        return _read(self._folder)

    def remove(self) -> None:
        """Remove all of it; harmless where there is nothing.

        Raises: StepFailed.
        """
        for listener in self._listening.values():
            listener.close()
        self._listening.clear()
        with translated(f"remove the files of {self._tag.name}"):
            if (record := self.record()) is not None:
                with suppress(FileNotFoundError):
                    shutil.rmtree(record.sockets)
            with suppress(FileNotFoundError):
                shutil.rmtree(self._folder)

    def _listen(self, path: Path) -> Path:
        self._listening[path] = listening(str(path))
        return path


def blocks(paths: Iterable[Path]) -> int:
    """Sum the bytes in use of files, each counted once."""
    found = {(one.st_dev, one.st_ino): one.st_blocks * BLOCK for one in (path.stat() for path in paths)}
    return sum(found.values())


def _instances() -> Path:
    return images.cache_dir() / "instances"


def _read(folder: Path) -> Record | None:
    try:
        text = json.loads((folder / _RECORD).read_text())
        tag = Tag.from_labels(text["labels"])
        record = None if tag is None else Record(tag, text["uri"], Path(text["sockets"]))
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None
    return record if record is not None and record.tag.name == folder.name else None
