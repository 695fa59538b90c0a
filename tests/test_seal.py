"""A summary is read again only where it is exactly what was made of its journal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.report import runs
from vmvc import audit, results, seal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = runs.make(tmp_path / "run", backends=("process", "docker"))
    results.rebuild(folder)
    return folder


def test_a_sealed_summary_is_what_would_be_made_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = results.summarise(folder / "journal.jsonl")
    monkeypatch.setattr(results, "summarise", None)
    found = results.summary_of(folder)
    assert found.model_copy(update={"seal": "", "claims": ""}) == made
    assert found == seal.stored(folder)


def test_an_audit_finds_nothing_wrong_with_it(folder: Path) -> None:
    assert list(audit.audit(folder)) == []


def test_a_number_that_was_edited_breaks_the_seal(folder: Path) -> None:
    path = folder / "summary.json"
    summary = json.loads(path.read_text())
    summary["comparisons"][0]["ratio"] = 1.0
    path.write_text(json.dumps(summary))
    assert seal.stored(folder) is None
    assert results.summary_of(folder).comparisons[0].ratio != 1.0


def test_a_journal_that_grew_breaks_the_seal(folder: Path) -> None:
    path = folder / "journal.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    assert seal.stored(folder) is None
    assert results.summary_of(folder).measured == len(lines) - 2


def test_another_version_breaks_the_seal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vmvc.__version__", "99.0")
    assert seal.stored(folder) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"run": 1}'])
def test_a_damaged_or_old_summary_is_made_anew(folder: Path, text: str) -> None:
    (folder / "summary.json").write_text(text)
    assert seal.stored(folder) is None
    assert results.summary_of(folder).measured == 18


def test_a_summary_without_a_seal_is_made_anew(folder: Path) -> None:
    path = folder / "summary.json"
    summary = json.loads(path.read_text())
    del summary["seal"]
    path.write_text(json.dumps(summary))
    assert seal.stored(folder) is None


@pytest.fixture
def claimed(tmp_path: Path) -> Path:
    folder = runs.make(tmp_path / "claimed", claims=runs.CLAIMS)
    results.rebuild(folder)
    return folder


def test_verdicts_are_read_where_they_fit_and_made_anew_where_they_do_not(
    claimed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = results.verdicts(claimed / "journal.jsonl")
    assert seal.stored_verdicts(claimed) == made
    path = claimed / "claims.json"
    path.write_text(path.read_text().replace('"supported"', '"refuted"', 1))
    assert seal.stored_verdicts(claimed) is None
    assert results.verdicts_of(claimed) == made
    path.unlink()
    assert results.verdicts_of(claimed) == made
    results.rebuild(claimed)
    assert list(audit.audit(claimed)) == []
    monkeypatch.setattr(results, "verdicts", None)
    assert results.verdicts_of(claimed) == made


def test_verdicts_of_another_journal_do_not_fit(claimed: Path) -> None:
    path = claimed / "journal.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    assert seal.stored_verdicts(claimed) is None
