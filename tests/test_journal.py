"""The journal: what was appended is there, whatever tore the end, and nothing damaged is used silently."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from vmvc import journal
from vmvc.errors import ResultsError, StorageError
from vmvc.journal import Journal
from vmvc.records_journal import Failure, RunRecord, TrialRecord


def run_record(**changes: object) -> RunRecord:
    fields = {
        "version": 1,
        "run": "20261123t000000z-0000",
        "experiment_sha256": "0" * 64,
        "name": "first",
        "seed": 1,
        "count": 2,
        "trials": 3,
        "axes": {"fake": {}},
        "only": (),
        "quantities": (),
    }
    return RunRecord.model_validate(fields | changes)


def trial_record(number: int, **changes: object) -> TrialRecord:
    fields = {
        "trial": number,
        "block": number,
        "position": 1,
        "warmup": False,
        "backend": "fake",
        "condition": "fake",
        "factors": {},
        "metrics": ("startup",),
        "instance": f"vmvc-x-{number}",
        "wall": "2026-11-23T00:00:00.000+00:00",
        "outcome": "measured",
        "events": {},
    }
    return TrialRecord.model_validate(fields | changes)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def written(path: Path, trials: int) -> list[journal.Line]:
    records: list[journal.Line] = [run_record(), *(trial_record(number + 1) for number in range(trials))]
    with Journal(path) as book:
        for record in records:
            book.append(record)
    return records


def test_what_is_appended_is_read_back(path: Path) -> None:
    failed = trial_record(
        9, outcome="failed", failure=Failure(phase="ready", error="GuestDied", reason="it \x1b[31m ended\n")
    )
    records = [*written(path, 2), failed]
    with Journal(path) as book:
        book.append(failed)
    assert list(journal.read(path)) == records
    assert journal.head(path) == records[0]


def test_a_tail_torn_at_any_byte_costs_that_record_only(path: Path) -> None:
    records = written(path, 2)
    whole = path.read_bytes()
    second = whole.rindex(b"\n", 0, -1) + 1
    for length in range(second, len(whole)):
        path.write_bytes(whole[:length])
        assert list(journal.read(path)) == records[:2]
        with Journal(path) as book:
            assert book.repaired == length - second
            book.append(trial_record(2))
        assert path.read_bytes() == whole


def test_a_journal_torn_in_its_first_line_is_empty(path: Path) -> None:
    written(path, 0)
    path.write_bytes(path.read_bytes()[:10])
    with Journal(path) as book:
        assert book.repaired == 10
    assert path.read_bytes() == b""
    with pytest.raises(ResultsError, match="holds no run"):
        journal.head(path)


def test_a_torn_record_longer_than_a_read_step_is_found(path: Path) -> None:
    records = written(path, 1)
    with path.open("ab") as file:
        file.write(b"x" * 200_000)
    with Journal(path) as book:
        assert book.repaired == 200_000
    assert list(journal.read(path)) == records


def test_a_line_that_is_no_record_is_named(path: Path) -> None:
    lines = [run_record().model_dump_json(), '{"record":"trial","trial":"two"}']
    path.write_text("".join(f"{line}\n" for line in lines))
    with pytest.raises(ResultsError, match=r"journal\.jsonl:2: not a record: .*trial"):
        list(journal.read(path))


def _swap(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[3], lines[2], *lines[4:]]


EDITS = {
    "a number": (lambda lines: [*lines[:2], lines[2].replace(b'"block":2', b'"block":3'), *lines[3:]], [3]),
    "two lines": (lambda lines: [one.replace(b'"block":2', b'"block":9') for one in lines], [3]),
    "a line gone": (lambda lines: [*lines[:2], *lines[3:]], [3]),
    "a line twice": (lambda lines: [*lines[:3], lines[2], *lines[3:]], [4]),
    "two lines swapped": (_swap, [3, 4, 5]),
    "the first": (lambda lines: [lines[0].replace(b'"seed":1', b'"seed":2'), *lines[1:]], [1]),
    "a check gone": (lambda lines: [*lines[:2], lines[2][:-29] + b"}\n", *lines[3:]], [3, 4]),
    "a foreign line": (lambda lines: [*lines[:2], b"{}\n", *lines[2:]], [3]),
    "written anew": (lambda lines: [json.dumps(json.loads(one)).encode() + b"\n" for one in lines], [1]),
    "several": (
        lambda lines: [lines[0], *(one.replace(b"fake", b"real") for one in lines[1:])],
        [2, 3, 4, 5],
    ),
}


@pytest.mark.parametrize(("edit", "named"), EDITS.values(), ids=EDITS)
def test_every_line_that_was_edited_is_named_and_none_is_used(
    path: Path, edit: Callable[[list[bytes]], list[bytes]], named: list[int]
) -> None:
    written(path, 4)
    path.write_bytes(b"".join(edit(path.read_bytes().splitlines(keepends=True))))
    with pytest.raises(ResultsError, match="no number is made of an edited journal") as raised:
        list(journal.read(path))
    assert re.findall(r"journal\.jsonl:(\d+)", raised.value.what) == [str(number) for number in named]


def test_checks_go_on_after_a_journal_is_opened_again(path: Path) -> None:
    written(path, 1)
    with Journal(path) as book:
        book.append(trial_record(2))
    assert len(list(journal.read(path))) == 3
    assert list(journal.changed(path)) == []


def test_a_journal_without_checks_is_read_and_can_be_taken_up(path: Path) -> None:
    path.write_text(f"{run_record().model_dump_json(exclude_none=True)}\n")
    with Journal(path) as book:
        book.append(trial_record(1))
        book.append(trial_record(2))
    assert len(list(journal.read(path))) == 3


def test_a_journal_with_checks_from_its_first_line_cannot_lose_them(path: Path) -> None:
    with Journal(path) as book:
        book.append(run_record(about_sha256="0" * 64))
    path.write_bytes(path.read_bytes()[:-29] + b"}\n")
    with pytest.raises(ResultsError, match=r"journal\.jsonl:1: changed since it was written"):
        journal.head(path)


@pytest.mark.parametrize("shape", ["same", "unknown"])
def test_a_folder_of_another_version_is_refused(path: Path, shape: str) -> None:
    line = run_record(version=99).model_dump_json()
    path.write_text((line if shape == "same" else line[:-1] + ',"new":1}') + "\n")
    with pytest.raises(ResultsError, match="version 99, this vmvc reads version 1"):
        journal.head(path)


def test_a_full_disk_leaves_the_journal_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(path, 1)
    before = path.read_bytes()
    real = os.write

    def torn(handle: int, data: bytes) -> int:
        if len(data) > 20:
            return real(handle, data[:20])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def full(handle: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", fails)
        return torn(handle, data)

    def fails(handle: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Journal(path) as book:
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(StorageError, match="No space left") as raised:
            book.append(trial_record(2))
        monkeypatch.setattr(os, "write", real)
    assert "--resume" in raised.value.hint
    assert path.read_bytes() == before


def test_a_missing_journal_says_what_to_give(path: Path) -> None:
    with pytest.raises(ResultsError, match="No such file") as raised:
        journal.head(path)
    assert "results/EXPERIMENT/RUN" in raised.value.hint


def test_every_append_is_synced(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fsync

    def noted(handle: int) -> None:
        synced.append(os.fstat(handle).st_size)
        real(handle)

    monkeypatch.setattr(os, "fsync", noted)
    with Journal(path) as book:
        synced.clear()
        book.append(run_record())
        assert synced == [path.stat().st_size]
