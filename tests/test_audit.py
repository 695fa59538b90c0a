"""The audit of a run's folder: silent where all is as written, and every edited place is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import vmvc
from vmvc.audit import audit

EXPERIMENT = """\
name: first
backends: {{fake: {{options: {{state: {state}}}}}}}
metrics: [startup]
trials: {{count: 7, warmup: 0}}
"""


@pytest.fixture
def run(tmp_path: Path, experiment: Callable[[str], Path]) -> Path:
    path = experiment(EXPERIMENT.format(state=tmp_path / "state"))
    assert vmvc("run", path, "--quiet", cwd=tmp_path).code == 0
    (made,) = (tmp_path / "results" / "first").iterdir()
    return made


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


def test_a_run_as_written_is_good(run: Path, tmp_path: Path) -> None:
    assert list(audit(run)) == []
    said = vmvc("validate", run, cwd=tmp_path)
    assert (said.code, said.out) == (0, f"{run}: good\n")


def test_edited_lines_are_named_with_their_key(run: Path) -> None:
    edit(run / "journal.jsonl", '"trial":3,', '"trial":"three",')
    edit(run / "journal.jsonl", '"outcome":"measured"', '"outcome":"lovely"')
    faults = [str(fault) for fault in audit(run)]
    assert any("journal.jsonl:2: " in fault and "lovely" in fault for fault in faults)
    assert any("journal.jsonl:4: " in fault and "three" in fault for fault in faults)


def test_a_summary_that_is_not_the_journals_is_named(run: Path) -> None:
    edit(run / "summary.json", '"median": ', '"median": 9')
    assert [fault.what for fault in audit(run)] == ["is not what the journal says"]


def test_a_torn_journal_says_how_to_go_on(run: Path, tmp_path: Path) -> None:
    with (run / "journal.jsonl").open("a") as file:
        file.write('{"record":"tri')
    said = vmvc("validate", run, cwd=tmp_path)
    assert said.code == 2
    assert "journal.jsonl:9: the last line is torn" in said.err
    assert "vmvc run --resume" in said.err
