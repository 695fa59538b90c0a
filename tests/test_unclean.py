"""Measured, cleanup failed: a state of its own, from the journal to the report; never measured again."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vmvc
from tests.command import vmvc as command

EXPERIMENT = """\
name: unclean
backends: {{fake: {{options: {{state: {state}, ready: 1ms, destroy_fails: 3, fault_trials: [2]}}}}}}
metrics: [startup]
trials: {{count: 3, warmup: 0}}
claims: [{{id: works, says: It works, metric: startup.ready, backend: fake, success: {{above: 20%}}}}]
"""
STATE = "measured-cleanup-failed"


@pytest.fixture
def stopped(tmp_path: Path, experiment: Callable[[str], Path]) -> Path:
    """Return the folder of a run whose second trial was measured and left its instance behind."""
    said = command("run", experiment(EXPERIMENT.format(state=tmp_path / "state")), cwd=tmp_path)
    assert said.code == 3
    assert "2/3 fake: ready after" in said.err
    assert "measured, cleanup failed" in said.err
    assert "could not be removed" in said.err
    (run,) = (tmp_path / "results" / "unclean").iterdir()
    assert f"vmvc run --resume {Path('results', 'unclean', run.name)}" in said.err
    return run


def test_it_is_recorded_shown_and_counted(stopped: Path) -> None:
    first, second = (one for one in lines_of(stopped) if one["record"] == "trial")
    assert (first["outcome"], second["outcome"]) == ("measured", STATE)
    assert {one["quantity"] for one in second["readings"]} == {
        "created",
        "started",
        "console",
        "exec",
        "ready",
    }
    assert [one["code"] for one in second["findings"] if one["severity"] == "error"] == ["cleanup.failed"]

    summary = json.loads((stopped / "summary.json").read_text())
    assert (summary["measured"], summary["cleanup_failed"], summary["failed"]) == (2, 1, 0)
    (row,) = (one for one in summary["rows"] if one["quantity"] == "ready")
    assert (row["n"], row["cleanup_failed"], row["failed"]) == (2, 1, 0)
    with (stopped / "summary.csv").open() as file:
        (row,) = (one for one in csv.DictReader(file) if one["quantity"] == "ready")
    assert (row["n"], row["cleanup_failed"], row["failed"]) == ("2", "1", "0")
    with (stopped / "measurements.csv").open() as file:
        assert {one["trial"] for one in csv.DictReader(file)} == {"1", "2"}
    (verdict,) = json.loads((stopped / "claims.json").read_text())
    assert (verdict["verdict"], verdict["n"]) == ("supported", 2)

    said = command("show", stopped, cwd=stopped)
    assert "unclean: 2 of 3 trials measured, cleanup failed in 1" in said.out
    said = command("status", stopped, cwd=stopped)
    assert "trials: 2 of 3 done, cleanup failed in 1" in said.out
    about = json.loads(command("status", stopped, "--json", cwd=stopped).out)
    assert (about["measured"], about["cleanup_failed"]) == (2, 1)
    (listed,) = json.loads(command("list", "runs", "--results", "..", "--json", cwd=stopped.parent).out)
    assert (listed["measured"], listed["cleanup_failed"]) == (2, 1)
    assert command("report", stopped, cwd=stopped).code == 0
    page = (stopped / "report.html").read_text()
    assert "<td>measured, cleanup failed</td>" in page
    for text in (page, (stopped / "report.md").read_text()):
        assert "2 of 3 trials measured, cleanup failed in 1" in text
        assert "1 of 2 trials: measured, cleanup failed." in text
    assert [trial.outcome for trial in vmvc.load(stopped).trials()] == ["measured", STATE]
    assert command("validate", stopped, cwd=stopped).code == 0


def test_it_is_not_measured_again_and_what_was_left_is_swept(stopped: Path, tmp_path: Path) -> None:
    assert len(left_in(tmp_path / "state")) == 1
    said = command("run", "--resume", stopped, cwd=tmp_path)
    assert said.code == 0
    assert f"{stopped.name}-2" in next(line for line in said.err.splitlines() if "removed" in line)
    assert left_in(tmp_path / "state") == []
    trials = [(one["trial"], one["outcome"]) for one in lines_of(stopped) if one["record"] == "trial"]
    assert trials == [(1, "measured"), (2, STATE), (3, "measured")]
    assert "unclean: 3 of 3 trials measured, cleanup failed in 1" in said.out


def test_what_cannot_be_swept_lets_no_further_trial_begin(tmp_path: Path, stopped: Path) -> None:
    (counter,) = (tmp_path / "state").glob("*/destroys")
    counter.write_text("0")
    said = command("run", "--resume", stopped, cwd=tmp_path)
    assert (said.code, "could not be removed" in said.err) == (3, True)
    assert len([one for one in lines_of(stopped) if one["record"] == "trial"]) == 2


def lines_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]


def left_in(state: Path) -> list[Path]:
    return [one for one in state.iterdir() if not one.name.startswith(".")]
