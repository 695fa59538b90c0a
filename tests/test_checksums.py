"""Files of a run that are not as they were written are named, and the journal's numbers stand."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import vmvc
from tests.report import runs
from vmvc import checksums, load, report, results, status
from vmvc.errors import ResultsError
from vmvc.journal import Journal, head, line_of
from vmvc.manifest import digest
from vmvc.runs import overviews


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = runs.make(tmp_path_factory.mktemp("made") / "run", backends=("docker",), claims=runs.CLAIMS[1:2])
    report.write(folder, results.rebuild(folder))
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A run that was moved."""
    return Path(shutil.copytree(made, tmp_path / "made/elsewhere"))


def told(folder: Path) -> list[str]:
    return [Path(fault.source).name for fault in checksums.changed(folder)]


def test_a_run_that_was_moved_is_whole(folder: Path) -> None:
    assert told(folder) == []
    done = subprocess.run(["sha256sum", "-c", checksums.NAME], cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 9


@pytest.mark.parametrize(
    "name", ["measurements.csv", "summary.csv", "summary.json", "claims.json", "report.html", "report.md"]
)
def test_a_derived_file_that_was_edited_is_told_and_made_again(folder: Path, name: str) -> None:
    before = (folder / name).read_bytes()
    (folder / name).write_bytes(before + b" ")
    (fault,) = checksums.changed(folder)
    assert str(fault).startswith(f"{folder / name}: changed since it was written; the journal stands")
    assert fault.hint == f"vmvc show --rebuild {folder}"
    if name.startswith("report"):
        report.write(folder)
    else:
        results.rebuild(folder)
    assert (folder / name).read_bytes() == before
    assert told(folder) == []


def test_an_edited_number_in_a_derived_file_is_never_shown(folder: Path) -> None:
    path = folder / "summary.json"
    path.write_text(path.read_text().replace('"median": 0.2', '"median": 9.2'))
    said = vmvc("show", folder, cwd=folder)
    assert "summary.json: changed since it was written" in said.err
    assert "9.2" not in said.out.replace("9.2 ms", "")


def test_deleted_derived_files_are_no_fault(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_file() and path.name not in (*checksums.INPUTS, checksums.NAME):
            path.unlink()
    assert told(folder) == []


def test_lines_cut_off_at_the_end_of_the_journal_are_told(folder: Path) -> None:
    path = folder / "journal.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))
    assert told(folder) == ["journal.jsonl"]
    assert "lines at its end are gone or new" in vmvc("show", folder, cwd=folder).err


def test_an_edited_journal_is_refused_by_every_reader(folder: Path) -> None:
    path = folder / "journal.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"value":', b'"value":1', 2))
    what = "journal.jsonl:2: changed since it was written"
    readers: tuple[Callable[[], object], ...] = (
        lambda: results.summary_of(folder),
        lambda: results.verdicts(path),
        lambda: report.view_of(folder),
        lambda: status.read(folder),
        lambda: list(load(folder).readings()),
    )
    for read in readers:
        with pytest.raises(ResultsError, match=what):
            read()
    for command in ("show", "validate"):
        said = vmvc(command, folder, cwd=folder.parent)
        assert (said.code, what in said.err) == (2, True), command
    (one,) = overviews(folder.parents[1])
    assert (one.state, what in one.reason) == ("unreadable", True)


def test_what_was_given_to_the_run_is_held_to_its_first_line(tmp_path: Path) -> None:
    source, about = b"name: made\n", b"{}\n"
    made = runs.make(tmp_path / "made", backends=("docker",), until=1)
    first = head(made / "journal.jsonl")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "experiment.yaml").write_bytes(source)
    (folder / "run.json").write_bytes(about)
    with Journal(folder / "journal.jsonl") as book:
        sums = {"experiment_sha256": digest(source), "about_sha256": digest(about)}
        book.append(first.model_copy(update=sums))
    assert told(folder) == []
    (folder / "run.json").write_bytes(b'{"host":"faster"}\n')
    (folder / "experiment.yaml").write_bytes(source * 2)
    assert told(folder) == ["experiment.yaml", "run.json"]
    assert line_of(first)[0].endswith(b'"}\n')


def test_a_foreign_name_in_the_list_is_passed_over(folder: Path) -> None:
    with (folder / checksums.NAME).open("a") as file:
        file.write(f"{'0' * 64}  ../journal.jsonl\n{'0' * 64}  /etc/passwd\nrubbish\n")
    assert told(folder) == []


def test_taking_a_run_up_again_forgets_and_the_end_notes_anew(folder: Path) -> None:
    checksums.forget(folder)
    (folder / "summary.csv").write_text("")
    assert told(folder) == []
    results.rebuild(folder)
    assert (folder / checksums.NAME).exists()
    assert told(folder) == []
