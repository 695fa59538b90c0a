"""A machine that exists already -> a note of who runs it, while vmvc does; nothing is written into it.

By the note another process finds a machine that a dead run has left running, and two runs never take the
same one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vmvc import images, owner
from vmvc.contract import Tag
from vmvc.errors import StepFailed


@dataclass(frozen=True, slots=True)
class Held:
    """One note: ``kind`` of backend, ``place`` (what the backend finds it by) and ``machine``."""

    kind: str
    place: str
    machine: str
    tag: Tag

    @property
    def _path(self) -> Path:
        key = hashlib.sha256(json.dumps([self.kind, self.place, self.machine]).encode()).hexdigest()[:32]
        return _folder() / f"{key}.json"

    def take(self) -> None:
        """Write the note; once more by the same tag is fine.

        Raises: StepFailed where another trial has the machine, or the note cannot be written.
        """
        record = {
            "kind": self.kind,
            "place": self.place,
            "machine": self.machine,
            "labels": self.tag.labels(),
        }
        new = self._path.with_suffix(f".{os.getpid()}")
        try:
            _folder().mkdir(parents=True, exist_ok=True)
            new.write_text(json.dumps(record))
            try:
                os.link(new, self._path)
            finally:
                new.unlink()
        except FileExistsError as error:
            other = _read(self._path)
            if other is None or other.tag == self.tag:
                return
            alive = owner.alive(other.tag.owner)
            raise StepFailed(
                f"the machine {self.machine!r} is run by another run of vmvc: {other.tag.run}",
                hint="wait for its end" if alive else "end what it has left: vmvc clean",
            ) from error
        except OSError as error:
            raise StepFailed(
                f"it cannot be noted that vmvc runs {self.machine!r}: {error.strerror}",
                hint="set VMVC_CACHE to a folder that can be written",
            ) from error

    def drop(self) -> None:
        """Remove the note, unless it is another trial's; harmless where there is none."""
        found = _read(self._path)
        if found is not None and found.tag == self.tag:
            with suppress(FileNotFoundError):
                self._path.unlink()


def held(kind: str) -> Iterator[Held]:
    """Read the notes about machines of a kind of backend."""
    with suppress(FileNotFoundError):
        for path in sorted(_folder().glob("*.json")):
            found = _read(path)
            if found is not None and found.kind == kind:
                yield found


def held_by(kind: str, tag: Tag) -> Held | None:
    """Return the note of one trial."""
    return next((one for one in held(kind) if one.tag == tag), None)


def _folder() -> Path:
    return images.cache_dir() / "machines"


def _read(path: Path) -> Held | None:
    try:
        record = json.loads(path.read_text())
        tag = Tag.from_labels(record["labels"])
        return None if tag is None else Held(record["kind"], record["place"], record["machine"], tag)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
