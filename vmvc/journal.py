"""Records -> lines of ``journal.jsonl``: append, read, repair a torn tail.

One line a record, in one write, then fsync. What a crash tore is cut off at the next opening, so that the
next record never sticks to it. Each line ends with a check: a digest of it and of the check before it. A line
that was changed, put in or moved does not fit its own, one after a line that is gone does not either, and a
reader names them all. Journals of older versions have none; a line without one is good only before the first
that has one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pydantic import ValidationError

from vmvc.durable import sync_folder
from vmvc.errors import ResultsError, StorageError
from vmvc.records import VERSION
from vmvc.records_journal import JOURNAL_LINE, JournalRecord, RunRecord

Line = JournalRecord

_MARK: Final = re.compile(rb',"check":"([0-9a-f]{16})"\}\n\Z')
_MARKED: Final = 29
"""Bytes that the check takes at the end of a line."""
_MOST: Final = 20
"""Lines that are named of those that were changed."""


class Journal:
    """An open journal; ``repaired`` is how many torn bytes were cut off on opening."""

    def __init__(self, path: Path) -> None:
        """Open for appending, creating it where there is none.

        Raises: ResultsError where it cannot be opened.
        """
        self.path = path
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            self.repaired = self._repair()
            self._check = self._last_check()
            sync_folder(path.parent)
        except OSError as error:
            raise ResultsError(
                f"{path}: cannot be written: {error.strerror}", hint="choose another folder with --results"
            ) from error

    def _repair(self) -> int:
        size = os.fstat(self._file).st_size
        keep, step = size, 1 << 16
        while keep > 0:
            begin = max(0, keep - step)
            newline = os.pread(self._file, keep - begin, begin).rfind(b"\n")
            if newline >= 0:
                keep = begin + newline + 1
                break
            keep = begin
        if keep < size:
            os.ftruncate(self._file, keep)
            os.fsync(self._file)
        return size - keep

    def _last_check(self) -> bytes:
        size = os.fstat(self._file).st_size
        mark = _MARK.search(os.pread(self._file, _MARKED, max(0, size - _MARKED)))
        return mark[1] if mark else b""

    def append(self, record: Line) -> None:
        """Add one record; on return it is on the disk.

        Raises: StorageError where the file system refuses; the journal is then as it was before.
        """
        line, check = line_of(record, self._check)
        before = os.fstat(self._file).st_size
        try:
            written = 0
            while written < len(line):
                written += os.write(self._file, line[written:])
            os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, before)
            raise StorageError(
                f"{self.path}: {error.strerror}; the last trial is not recorded",
                hint=f"make room, then: vmvc run --resume {self.path.parent}",
            ) from error
        self._check = check

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read(path: Path) -> Iterator[Line]:
    """Yield the records in order, the run's own first; a torn last line is passed over.

    Raises: ResultsError where the file is missing, of another version, a line is not a record, or lines were
    changed since they were written; these are all named.
    """
    check = b""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    return
                mark = _MARK.search(line, max(0, len(line) - _MARKED))
                body = line[: mark.start()] + b"}" if mark else line
                if number == 1:
                    _known(path, body)
                if not _fits(check, mark, body):
                    raise _changed(path, [number, *_misfits(file, number + 1, mark[1] if mark else check)])
                check = mark[1] if mark else b""
                record = _parse(path, number, body)
                if record.check is not None or (mark is None and _was_checked(record)):
                    raise _changed(path, [number])
                yield record
    except OSError as error:
        raise ResultsError(
            f"{path}: {error.strerror}", hint="give the folder of a run, results/EXPERIMENT/RUN"
        ) from error


def head(path: Path) -> RunRecord:
    """Return the run's own record.

    Raises: ResultsError as ``read``, and where there is none.
    """
    first = next(read(path), None)
    if not isinstance(first, RunRecord):
        raise ResultsError(
            f"{path}:1: the journal holds no run", hint="start the experiment again: vmvc run FILE"
        )
    return first


def changed(path: Path) -> Iterator[int]:
    """Yield the numbers of the lines that are not as they were written, or do not follow the one before.

    Raises: OSError.
    """
    with path.open("rb") as file:
        yield from _misfits(file, 1, b"")


def line_of(record: Line, before: bytes = b"") -> tuple[bytes, bytes]:
    """Return a record's line and its check; ``before``: the check of the line that it follows."""
    body = record.model_dump_json(exclude_none=True, by_alias=True).encode()
    check = _check_of(before, body)
    return body[:-1] + b',"check":"' + check + b'"}\n', check


def _check_of(before: bytes, body: bytes) -> bytes:
    return hashlib.sha256(before + b"\n" + body).hexdigest()[:16].encode()


def _fits(before: bytes, mark: re.Match[bytes] | None, body: bytes) -> bool:
    """Say whether a line is as it was written, after the line with that check; older lines have none."""
    return mark[1] == _check_of(before, body) if mark else not before


def _was_checked(record: Line) -> bool:
    """Say whether a line is of a version that has checks: the first then has a digest of run.json."""
    return isinstance(record, RunRecord) and bool(record.about_sha256)


def _misfits(lines: Iterable[bytes], first: int, check: bytes) -> Iterator[int]:
    """Yield the numbers of the lines that were changed; ``check`` is that of the line before them."""
    for number, line in enumerate(lines, first):
        mark = _MARK.search(line, max(0, len(line) - _MARKED))
        body = line[: mark.start()] + b"}" if mark else line
        if line.endswith(b"\n") and not _fits(check, mark, body):
            yield number
        check = mark[1] if mark else check


def _changed(path: Path, numbers: list[int]) -> ResultsError:
    named = [f"{path}:{number}" for number in numbers[:_MOST]]
    more = f" and {len(numbers) - _MOST} more lines" if len(numbers) > _MOST else ""
    what = "changed since it was written, or a line before it is gone"
    if len(numbers) > 1:
        what = "changed since they were written, or lines before them are gone"
    return ResultsError(
        f"{', '.join(named)}{more}: {what}; no number is made of an edited journal",
        hint="restore journal.jsonl from a copy, or measure again",
    )


def _parse(path: Path, number: int, line: bytes) -> Line:
    try:
        record = JOURNAL_LINE.validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise ResultsError(
            f"{path}:{number}: not a record: {'.'.join(map(str, first['loc']))}: {first['msg']}",
            hint="restore the file from a copy; nothing is guessed from a damaged journal",
        ) from error
    return record


def _known(path: Path, line: bytes) -> None:
    """Refuse a journal of another version before anything else is said of it."""
    version = _version(line)
    if version not in (None, VERSION):
        raise _other_version(path, version)


def _other_version(path: Path, version: object) -> ResultsError:
    return ResultsError(
        f"{path}: the run's folder is of version {version}, this vmvc reads version {VERSION}",
        hint="use the vmvc that wrote it (run.json names its version)",
    )


def _version(line: bytes) -> object:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record.get("version") if isinstance(record, dict) else None
