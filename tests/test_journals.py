"""Journals of every released version are read, to the digit; a newer one is named as such."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import vmvc
from tests import journals
from tests.command import vmvc as command
from vmvc import comparing, journal, loading, records, report, results
from vmvc.errors import ResultsError

RUNS = sorted(path.parent for path in journals.FOLDER.glob("*/*/journal.jsonl"))


def test_there_is_one_of_this_version_and_of_every_format() -> None:
    assert (journals.FOLDER / vmvc.__version__).is_dir(), "make journals, before the version is released"
    versions = {journal.head(run / "journal.jsonl").version for run in RUNS}
    assert versions == set(range(1, records.VERSION + 1))


def test_the_corpus_holds_every_kind_of_line() -> None:
    kinds = {
        json.loads(line)["record"]
        for run in RUNS
        for line in (run / "journal.jsonl").read_text().splitlines()
    }
    assert kinds == {"run", "trial", "resume", "stop"}


@pytest.mark.parametrize("run", RUNS, ids=lambda run: "/".join(run.parts[-2:]))
def test_an_old_run_is_still_read(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    expected = json.loads((run / journals.EXPECTED).read_text())
    assert journals.expectation(results.rebuild(folder)) == expected
    assert len(list(vmvc.load(folder).trials())) == expected["measured"] + expected["failed"]
    assert len(report.write(folder)) == 2
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    lines = (other / "journal.jsonl").read_text()
    (other / "journal.jsonl").write_text(lines.replace(journal.head(run / "journal.jsonl").run, "r2", 1))
    assert comparing.compare([folder, other]).runs[0].rows
    loading.loads((run / "experiment.yaml").read_bytes(), "experiment.yaml", run)


def test_a_newer_one_is_told_by_its_version(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(RUNS[0], folder)
    path = folder / "journal.jsonl"
    first, *rest = path.read_text().splitlines(keepends=True)
    newer = json.loads(first) | {"version": records.VERSION + 1, "record": "run", "unheard": {"of": 1}}
    path.write_text(json.dumps(newer) + "\n" + "".join(rest))
    says = f"is of version {records.VERSION + 1}, this vmvc reads version {records.VERSION}"
    with pytest.raises(ResultsError, match=says):
        journal.head(path)
    for arguments in (("show", folder), ("run", "--resume", folder), ("compare", folder, RUNS[0])):
        said = command(*arguments, cwd=tmp_path)
        assert said.code == 2
        assert says in said.err
        assert "use the vmvc that wrote it" in said.err
