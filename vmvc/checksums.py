"""A run's folder -> SHA256SUMS, as ``sha256sum -c`` reads it; and which files are not as they were written.

It names what was made last. A file that is not there is no fault: everything but journal.jsonl, run.json and
experiment.yaml can be deleted and made again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from vmvc import durable, journal
from vmvc.errors import Fault, ResultsError

NAME: Final = "SHA256SUMS"
INPUTS: Final = ("experiment.yaml", "run.json", "journal.jsonl")
"""Files that nothing can make again."""


def write(folder: Path, names: Iterable[str], *, keep: bool = False) -> None:
    """Note the files as they are now; with ``keep`` also what is noted already of others.

    Raises: OSError.
    """
    sums = dict(_noted(folder)) if keep else {}
    for name in names:
        if (folder / name).is_file():
            sums[name] = _digest(folder / name)
    durable.write(folder / NAME, "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)))


def forget(folder: Path) -> None:
    """Note nothing any more: the run goes on, so its files change.

    A folder that cannot be written is told by whoever has something to write.
    """
    with suppress(OSError):
        (folder / NAME).unlink(missing_ok=True)


def changed(folder: Path) -> Iterator[Fault]:
    """Yield the files that are there and not as they were written, what was given to the run first.

    Raises: ResultsError where the journal cannot be read.
    """
    head = journal.head(folder / "journal.jsonl")
    given = {"experiment.yaml": head.experiment_sha256, "run.json": head.about_sha256}
    for name, digest in given.items():
        if digest and _differs(folder / name, digest):
            yield Fault("changed since the run was started", str(folder / name), hint="put the original back")
    for name, digest in _noted(folder):
        path = folder / name
        if name in given or not _differs(path, digest):
            continue
        if name == "journal.jsonl":
            what, hint = "not what the results were made from: lines at its end are gone or new", ""
            hint = f"restore it from a copy, or: vmvc show --rebuild {folder}"
        else:
            what = "changed since it was written; the journal stands, and was read instead"
            hint = f"vmvc show --rebuild {folder}"
        yield Fault(what, str(path), hint=hint)


def _noted(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield name and digest of the plain names that are noted; other lines are passed over."""
    try:
        text = (folder / NAME).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        digest, _, name = line.partition("  ")
        if name and name == Path(name).name:
            yield name, digest


def _differs(path: Path, digest: str) -> bool:
    try:
        return _digest(path) != digest
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror}", hint="restore it from a copy") from error


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
