"""A bundle, made by anybody -> a folder that holds what it says, and nothing beside it.

Nothing is believed: names, kinds, sizes and digests are looked at before and while the bytes are written.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Final

from vmvc.errors import Fault, InputError, ResultsError

METADATA: Final = "ro-crate-metadata.json"
ABOUT: Final = "bundle.json"
DIGESTS: Final = "manifest-sha256.txt"
RUN: Final = "run"
LOGS: Final = f"{RUN}/logs/"
INPUTS: Final = "inputs"
VERSION: Final = 1
MOST_FILES: Final = 200_000
MOST_BYTES: Final = 16 * 2**30
LONGEST_NAME: Final = 1000
_SMALL: Final = 64 * 2**20
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BROKEN: Final = "the bundle is broken"
_AGAIN: Final = "get it again from whoever made it"


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A bundle that lies in a folder of its own; ``experiment`` is anchored where its files are."""

    folder: Path
    experiment: Path
    sha256: str

    @property
    def run(self) -> Path:
        return self.folder / RUN


def is_bundle(path: Path) -> bool:
    """Say whether a path is a file that begins like a ZIP file."""
    try:
        with path.open("rb") as file:
            return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    except OSError:
        return False


def unpack(path: Path, parent: Path) -> Unpacked:
    """Unpack into ``parent/DIGEST``; what is there already from the same bundle is used again.

    Raises: InputError naming every file that does not belong in a bundle; ResultsError where it is broken,
    of another version, or cannot be written.
    """
    try:
        digest = _file_digest(path)
        folder = parent / digest[:16]
        if folder.exists():
            _verify(path, folder)
        else:
            parent.mkdir(parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(dir=parent, prefix=".unpacking-"))
            try:
                _extract(path, scratch)
                _verify(path, scratch)
                scratch.replace(folder)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise ResultsError(
            f"{error.filename or path}: {error.strerror or error}", hint="make room, or choose --results"
        ) from error
    return Unpacked(folder, folder / str(_about(path, folder)["experiment"]), digest)


@lru_cache
def temporary(path: Path) -> Path:
    """Return the folder of the bundle's run, unpacked until this process ends.

    Raises: as ``unpack``.
    """
    scratch = tempfile.mkdtemp(prefix="vmvc-bundle-")
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    return unpack(path, Path(scratch)).run


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- what may be in it ------------------------------------------------------------------------------------


def _extract(path: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            _refuse(path, archive.infolist())
            for one in archive.infolist():
                _write(archive, one, folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeError) as error:
        raise ResultsError(f"{path}: {_BROKEN}: {error}", hint=_AGAIN) from error


def _refuse(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    """Look at the list before anything is written.

    Raises: InputError.
    """
    names = [one.filename for one in entries]
    if METADATA not in names or ABOUT not in names:
        raise InputError(
            Fault(
                f"is a ZIP file, but no bundle: it has no {ABOUT}",
                str(path),
                hint="vmvc bundle RUN makes one",
            )
        )
    if len(names) > MOST_FILES:
        raise InputError(
            Fault(f"holds more than {MOST_FILES} files, got {len(names)}", str(path), hint=_AGAIN)
        )
    if (size := sum(one.file_size for one in entries)) > MOST_BYTES:
        what = f"unpacks to {size} bytes, more than the {MOST_BYTES} that a bundle may"
        raise InputError(Fault(what, str(path), hint=_AGAIN))
    seen: set[str] = set()
    faults = []
    for one in entries:
        for what in _wrong(one, seen):
            faults.append(Fault(f"{one.filename!r:.200}: {what}", str(path), hint=_AGAIN))
        seen.add(one.filename.rstrip("/").casefold())
    if faults:
        raise InputError(faults[:20])


def _wrong(one: zipfile.ZipInfo, seen: set[str]) -> Iterator[str]:
    name = one.filename.rstrip("/")
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or PurePosixPath(name).as_posix() != name:
        yield "a path that leads out of the bundle, or is not plain"
    elif any(character in name for character in "\\:") or not name.isprintable() or len(name) > LONGEST_NAME:
        yield "a name that not every system can hold"
    kind = stat.S_IFMT(one.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        yield "neither a file nor a folder (a link, a device or a socket)"
    if one.flag_bits & 0x1:
        yield "encrypted"
    if one.compress_type not in _METHODS:
        yield f"compressed by a method that bundles do not use, got {one.compress_type}"
    if name.casefold() in seen:
        yield "twice in the bundle"


def _write(archive: zipfile.ZipFile, one: zipfile.ZipInfo, folder: Path) -> None:
    """Write one file; the library reads no more of it than the size that it declares, and checks its sum."""
    target = folder / one.filename
    if one.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(one) as source, target.open("xb") as file:
        shutil.copyfileobj(source, file)


# --- whether it is what its maker wrote -------------------------------------------------------------------


def _verify(path: Path, folder: Path) -> None:
    """Hold every file to its digest.

    Raises: InputError naming each that was changed, added or left out.
    """
    told = _digests(path, folder)
    there = {
        file.relative_to(folder).as_posix(): file
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.relative_to(folder).as_posix() != DIGESTS
    }
    faults = []
    for name in sorted(told.keys() | there.keys()):
        if name not in there:
            what = "is missing"
        elif name not in told:
            what = "was added after the bundle was made"
        elif _file_digest(there[name]) != told[name]:
            what = "was changed after the bundle was made"
        else:
            continue
        faults.append(Fault(f"{name}: {what}", str(path), hint=_AGAIN))
    if faults:
        raise InputError(faults[:20])


def _digests(path: Path, folder: Path) -> Mapping[str, str]:
    text = _text(path, folder, DIGESTS)
    rows = [line.partition("  ") for line in text.splitlines()]
    if any(len(digest) != 64 or not name for digest, _, name in rows):
        raise ResultsError(f"{path}: {_BROKEN}: {DIGESTS} is not a list of digests", hint=_AGAIN)
    return {name: digest for digest, _, name in rows}


def _about(path: Path, folder: Path) -> Mapping[str, Any]:
    try:
        about = json.loads(_text(path, folder, ABOUT))
    except (ValueError, RecursionError) as error:
        raise ResultsError(f"{path}: {_BROKEN}: {ABOUT} is not JSON", hint=_AGAIN) from error
    version = about.get("version") if isinstance(about, dict) else None
    if version != VERSION:
        raise ResultsError(
            f"{path}: the bundle is of version {version!r:.40}, this vmvc reads version {VERSION}",
            hint="use the vmvc that the bundle's README.md names",
        )
    named = about.get("experiment")
    if not isinstance(named, str) or not _is_inside(folder / named, folder):
        raise ResultsError(f"{path}: {_BROKEN}: it has no experiment {named!r:.100}", hint=_AGAIN)
    return dict(about)


def _is_inside(file: Path, folder: Path) -> bool:
    return file.is_file() and file.resolve().is_relative_to(folder.resolve())


def _text(path: Path, folder: Path, name: str) -> str:
    file = folder / name
    try:
        if file.stat().st_size > _SMALL:
            raise ResultsError(f"{path}: {_BROKEN}: {name} is too large", hint=_AGAIN)
        return file.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise ResultsError(f"{path}: {_BROKEN}: {name} cannot be read", hint=_AGAIN) from error
