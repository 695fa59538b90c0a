"""A tag -> the folder of its machine: what is written down about it, its settings, its disk, its sockets."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from vmvc import images
from vmvc.backends.machine_files import connected, listening, translated
from vmvc.backends.virtualbox_settings import Particulars, Template, renamed, written
from vmvc.contract import Tag
from vmvc.errors import StepFailed

CONNECTS_WITHIN: Final = 10.0
"""Seconds for VirtualBox, whose machine runs, to be found at the machine's sockets."""
_RECORD: Final = "tag.json"


@dataclass(frozen=True, slots=True)
class Record:
    """What is written down about a machine before it is made, so that anybody can remove it."""

    tag: Tag
    identity: str
    sockets: str


def records() -> Iterator[Record]:
    """Read what is written down about every machine that was not destroyed."""
    with suppress(FileNotFoundError):
        for folder in sorted(_instances().iterdir()):
            if (record := _read(folder)) is not None:
                yield record


@dataclass
class Files:
    """The files of one machine, in a folder that only this user can enter."""

    tag: Tag
    _listening: dict[str, socket.socket] = field(default_factory=dict)
    _sockets: str = ""

    @property
    def folder(self) -> Path:
        return _instances() / self.tag.name

    @property
    def settings(self) -> Path:
        return self.folder / f"{self.tag.name}.vbox"

    def overlay(self, name: str) -> Path:
        """Return where the machine has its own disk of that name."""
        return self.folder / f"{name}.vdi"

    def note(self, identity: str) -> str:
        """Make the folder, write the machine down, and return the folder of its sockets.

        Raises: StepFailed.
        """
        with translated(f"make the files of {self.tag.name}"):
            self.folder.mkdir(parents=True, mode=0o700)
            # Paths of sockets must be short.
            sockets = self._sockets = tempfile.mkdtemp(prefix="vmvc-")
            record = {"labels": self.tag.labels(), "identity": identity, "sockets": sockets}
            (self.folder / _RECORD).write_text(json.dumps(record))
            return sockets

    def make(self, template: Template, ports: Mapping[int, int]) -> uuid.UUID:
        """Make all that VirtualBox needs to know the machine; return its UUID.

        Raises: StepFailed, EngineError.
        """
        identity = uuid.uuid4()
        sockets = self.note(str(identity))
        with translated(f"make the files of {self.tag.name}"):
            overlays = {name: (self.overlay(name), uuid.uuid4()) for name in template.overlays}
            for name, (path, disk) in overlays.items():
                path.write_bytes(renamed(template.overlays[name], disk))
            console, channel = (self._listen(sockets, name) for name in ("console", "channel"))
            own = Particulars(identity, self.tag, overlays, console, channel, ports)
            self.settings.write_bytes(written(template, own))
        return identity

    def accept(self, name: str) -> socket.socket:
        """Return VirtualBox's connection to a socket.

        Raises: StepFailed where it has not connected.
        """
        with translated(f"find VirtualBox at the machine's {name}"):
            return connected(self._listening.pop(name), CONNECTS_WITHIN)

    def record(self) -> Record | None:
        return _read(self.folder)

    def remove(self) -> None:
        """Remove all of it; harmless where there is nothing.

        Raises: StepFailed.
        """
        for listener in self._listening.values():
            listener.close()
        self._listening.clear()
        with translated(f"remove the files of {self.tag.name}"):
            record = self.record()
            sockets = record.sockets if record is not None else self._sockets
            for folder in filter(None, (sockets, str(self.folder))):
                with suppress(FileNotFoundError):
                    shutil.rmtree(folder)

    def _listen(self, sockets: str, name: str) -> str:
        if not hasattr(socket, "AF_UNIX"):
            raise StepFailed(
                "this host has no Unix sockets for a machine's console", hint="run it on Linux or macOS"
            )
        path = os.path.join(sockets, name)  # noqa: PTH118 - a text in VirtualBox's settings
        self._listening[name] = listening(path)
        return path


def _instances() -> Path:
    return images.cache_dir() / "virtualbox"


def _read(folder: Path) -> Record | None:
    try:
        text = json.loads((folder / _RECORD).read_text())
        tag = Tag.from_labels(text["labels"])
        record = None if tag is None else Record(tag, text["identity"], text["sockets"])
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None
    return record if record is not None and record.tag.name == folder.name else None
