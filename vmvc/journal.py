"""Records -> lines of ``journal.jsonl``: append, read, repair a torn tail.

One line a record, in one write, then fsync. What a crash tore is cut off at the next opening, so that the
next record never sticks to it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import ValidationError

from vmvc.durable import sync_folder
from vmvc.errors import ResultsError, StorageError
from vmvc.records import JOURNAL_LINE, VERSION, JournalRecord, RunRecord

Line = JournalRecord


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

    def append(self, record: Line) -> None:
        """Add one record; on return it is on the disk.

        Raises: StorageError where the file system refuses; the journal is then as it was before.
        """
        line = record.model_dump_json(exclude_none=True, by_alias=True).encode() + b"\n"
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

    Raises: ResultsError where the file is missing, of another version, or a line is not a record.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    return
                yield _parse(path, number, line)
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


def _parse(path: Path, number: int, line: bytes) -> Line:
    try:
        record = JOURNAL_LINE.validate_json(line)
    except ValidationError as error:
        if number == 1 and (version := _version(line)) not in (None, VERSION):
            raise _other_version(path, version) from None
        first = error.errors(include_url=False, include_context=False)[0]
        raise ResultsError(
            f"{path}:{number}: not a record: {'.'.join(map(str, first['loc']))}: {first['msg']}",
            hint="restore the file from a copy; nothing is guessed from a damaged journal",
        ) from error
    if isinstance(record, RunRecord) and record.version != VERSION:
        raise _other_version(path, record.version)
    return record


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
