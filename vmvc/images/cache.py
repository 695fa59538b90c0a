"""A digest and a way to build -> a file or folder in the user's cache, built once however many ask at once.

``images/DIGEST/`` holds one root file system and its renderings, ``kernels/`` and ``programs/`` what those
are made of. Everything appears by an atomic rename under a lock, so what is there is whole; what a broken off
build left behind (``.partial-*``) is removed by the next build of the same thing.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import filelock
import platformdirs

from vmvc import durable
from vmvc.errors import Fault, ImageError, InputError

ROOT: Final = "root.tar"
RECIPE: Final = "recipe.json"
_USED: Final = ".used"
_PARTIAL: Final = ".partial-"


@dataclass(frozen=True, slots=True)
class Entry:
    """One root file system in the cache: bytes allocated on the disk, seconds since 1970."""

    digest: str
    recipe: str
    bytes: int
    renderings: tuple[str, ...]
    last_used: float


def cache_dir() -> Path:
    """Return ``$VMVC_CACHE``, by default the user's cache folder for vmvc; it need not exist."""
    return Path(os.environ.get("VMVC_CACHE") or platformdirs.user_cache_dir("vmvc")).absolute()


def digest_of(*parts: object) -> str:
    """Return the SHA-256 of JSON-able parts."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def image_folder(digest: str) -> Path:
    return cache_dir() / "images" / digest


def once(path: Path, build: Callable[[Path], object]) -> Path:
    """Return ``path`` in the cache; where it is missing, let ``build`` make it under another name first.

    ``build`` gets a path that does not exist and leaves a file or a folder there.

    Raises: ImageError where the cache cannot be written, and what ``build`` raises.
    """
    if not path.exists():
        with _storing(path), _locked(path.parent):
            if not path.exists():
                _build(path, build)
    _touch(path.parent)
    return path


def note_recipe(digest: str, recipe: Mapping[str, object]) -> None:
    """Keep beside the renderings what they were made from."""
    once(image_folder(digest) / RECIPE, lambda path: path.write_text(json.dumps(recipe, sort_keys=True)))


def entries() -> list[Entry]:
    """Return what is in the cache, the most recently used first."""
    folder = cache_dir() / "images"
    found = [_entry(path) for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    return sorted(found, key=lambda entry: -entry.last_used)


def chosen(digest_prefix: str) -> list[Entry]:
    """Return the entry that the prefix names; every entry for ``all``.

    Raises: InputError where the prefix names none or several.
    """
    everything = entries()
    if digest_prefix == "all":
        return everything
    found = [entry for entry in everything if digest_prefix and entry.digest.startswith(digest_prefix)]
    if len(found) != 1:
        count = "no image" if not found else f"{len(found)} images"
        raise InputError(
            Fault(
                f"{count} in the cache with the digest '{digest_prefix}'",
                hint="vmvc image list shows them all",
            )
        )
    return found


def drop(digest: str) -> None:
    """Remove one root file system and everything rendered from it.

    Raises: ImageError.
    """
    folder = image_folder(digest)
    with _storing(folder), _locked(folder):
        if folder.exists():
            _remove(folder)


def discard(path: Path) -> None:
    """Remove one rendering; harmless where it is not there.

    Raises: ImageError.
    """
    with _storing(path), _locked(path.parent):
        if path.exists():
            _remove(path)


def drop_parts() -> None:
    """Remove what renderings are made of: kernels, programs, and the keys of guests.

    Raises: ImageError.
    """
    for folder in (cache_dir() / "kernels", cache_dir() / "programs", cache_dir() / "ssh"):
        with _storing(folder), _locked(folder):
            if folder.exists():
                _remove(folder)


# --- building -------------------------------------------------------------------------------------------


def _build(path: Path, build: Callable[[Path], object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f"{_PARTIAL}{path.name}-*"):
        _remove(left)
    partial = path.with_name(f"{_PARTIAL}{path.name}-{os.getpid()}")
    try:
        build(partial)
        _sync(partial)
        partial.rename(path)
        durable.sync_folder(path.parent)
    finally:
        _remove(partial)


def _sync(path: Path) -> None:
    if path.is_dir():
        os.sync()
        return
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _remove(path: Path) -> None:
    """Remove a file or a folder, also one with folders that their owner may not write."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    if os.geteuid() != 0:
        for folder, _, _ in os.walk(path):
            Path(folder).chmod(stat.S_IRWXU)
    shutil.rmtree(path)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of one folder of the cache against every other process and thread."""
    locks = cache_dir() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(locks / f"{folder.parent.name}-{folder.name}.lock"):
        yield


@contextmanager
def _storing(path: Path) -> Iterator[None]:
    """Turn a refused write into an error that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = "free some space, or set VMVC_CACHE to a folder that has it"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            hint = "set VMVC_CACHE to a folder that you can write"
        else:
            raise
        raise ImageError(f"the image cache at {path.parent} cannot be written: {error}", hint=hint) from error


def _touch(folder: Path) -> None:
    """Note that the folder was used; a cache that can only be read stays usable."""
    try:
        (folder / _USED).touch()
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EROFS, errno.ENOSPC):
            raise


# --- listing --------------------------------------------------------------------------------------------


def _entry(folder: Path) -> Entry:
    recipe, used = folder / RECIPE, folder / _USED
    return Entry(
        digest=folder.name,
        recipe=_summary(json.loads(recipe.read_text())) if recipe.exists() else "unfinished",
        bytes=_allocated(folder),
        renderings=tuple(
            sorted(path.name for path in folder.iterdir() if path.name[0] != "." and path != recipe)
        ),
        last_used=used.stat().st_mtime if used.exists() else time.time(),
    )


def _summary(recipe: Mapping[str, object]) -> str:
    """Write a recipe in one line: ``debian:bookworm packages=nginx-light services=nginx``."""
    first = recipe.get("base") or recipe.get("oci") or ""
    rest = []
    for key in ("packages", "services", "files"):
        if value := recipe.get(key):
            rest.append(f"{key}={','.join(str(one) for one in value)}")  # type: ignore[attr-defined]
    return " ".join([str(first), *rest])


def _allocated(folder: Path) -> int:
    """Return the bytes that the files of a folder take on the disk, each file once."""
    seen = {}
    for path, folders, files in os.walk(folder):
        for name in (*folders, *files):
            status = os.lstat(os.path.join(path, name))  # noqa: PTH118 - a hundred thousand names
            seen[status.st_ino] = status.st_blocks * 512
    return sum(seen.values())
