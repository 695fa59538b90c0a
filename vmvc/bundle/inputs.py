"""An experiment -> the files of the host that it names, each with the place that it gets in a bundle.

Paths in an experiment stay as they are. So the bundle's tree begins as many folders above the experiment as
the longest way up (``../..``) needs; what is named by an absolute path cannot be moved and stays behind.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Final

from vmvc.loading import Loaded
from vmvc.spec import DiskImage
from vmvc.units import show_bytes
from vmvc.unpacking import INPUTS

_OF_A_RUN: Final = ("journal.jsonl", "run.json")
"""What a claim needs of another run."""
_ABOVE: Final = "above"


@dataclass(frozen=True, slots=True)
class Named:
    """A path as the experiment writes it, and what it is for."""

    path: str
    where: str
    run: bool = False


@dataclass(frozen=True, slots=True)
class Input:
    """A file that an experiment names: ``place`` in the bundle, or ``None`` and the reason for that.

    ``sha256`` and ``size``: absent where the file is.
    """

    path: str
    where: str
    source: Path
    place: str | None
    size: int | None
    sha256: str | None
    reason: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Inputs:
    """The experiment's place in the bundle, and its files."""

    experiment: str
    files: tuple[Input, ...]


def named(loaded: Loaded) -> Iterator[Named]:
    """Yield every path that the experiment names, in file order."""
    for name, image in loaded.experiment.images.items():
        if isinstance(image, DiskImage):
            yield Named(image.disk, f"images.{name}.disk")
    for claim in loaded.experiment.claims:
        if claim.reference is not None:
            yield Named(claim.reference.run, f"claims.{claim.id}.reference.run", run=True)


def collect(loaded: Loaded, begun: datetime, largest: int) -> Inputs:
    """Return the experiment's files; none above ``largest`` bytes comes along.

    ``begun``: when the run began; what was changed since then is noted.
    """
    paths = list(named(loaded))
    height = max((_height(one.path) for one in paths), default=0)
    folder = PurePosixPath(INPUTS, *([_ABOVE] * height))
    files = [file for one in paths for file in _files(loaded.folder, one, folder, begun, largest)]
    taken = {file.place: file for file in reversed(files) if file.place is not None}
    kept = [file for file in files if file.place is None or taken[file.place] is file]
    return Inputs(str(folder / "experiment.yaml"), tuple(kept))


def _height(path: str) -> int:
    """Return how many folders up a relative path leads at most."""
    depth = lowest = 0
    for part in PurePosixPath(path).parts:
        depth += -1 if part == ".." else part != "."
        lowest = min(lowest, depth)
    return -lowest


def _files(base: Path, one: Named, folder: PurePosixPath, begun: datetime, largest: int) -> Iterator[Input]:
    source = base / Path(one.path).expanduser()
    moved = not Path(one.path).is_absolute() and not one.path.startswith("~")
    place = _normal(folder / one.path) if moved else None
    if one.run:
        for name in _OF_A_RUN:
            if name == _OF_A_RUN[0] or (source / name).exists():
                inside = None if place is None else f"{place}/{name}"
                yield _input(f"{one.path}/{name}", one.where, source / name, inside, begun, largest)
    else:
        yield _input(one.path, one.where, source, place, begun, largest)


def _normal(path: PurePosixPath) -> str:
    return os.path.normpath(str(path))


def _input(path: str, where: str, source: Path, place: str | None, begun: datetime, largest: int) -> Input:
    try:
        with source.open("rb") as file:
            status = os.fstat(file.fileno())
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return Input(path, where, source, None, None, None, f"cannot be read here: {error.strerror}")
    note = "changed after the run began" if status.st_mtime > begun.timestamp() else ""
    reason = ""
    if place is None:
        reason = "its path is absolute, so that it cannot be moved"
    elif status.st_size > largest:
        place, reason = None, f"larger than {show_bytes(largest)}"
    return Input(path, where, source, place, status.st_size, sha256, reason, note)
