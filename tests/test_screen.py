"""``vmvc show`` on a terminal: summary, verdicts and findings in one screen, and what is left out is said."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.command import vmvc
from tests.report import runs
from tests.terminal import Terminal
from vmvc import load, results, status
from vmvc.cli.screen import screen
from vmvc.records import FindingRecord

FINDING = FindingRecord(code="x", severity="warning", what="the host was \x1b[2Jbusy", remedy="wait")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("screen") / "results/made/20261124t120000z-0001"
    runs.make(
        place, levels=("256MiB", "1GiB"), claims=runs.CLAIMS[:2], failing={5: "too \x1b[31mlate"},
        findings=[FINDING],
    )  # fmt: skip
    results.rebuild(place)
    return place


@pytest.mark.parametrize(("columns", "lines"), [(60, 24), (80, 24), (200, 24), (80, 60), (200, 100)])
def test_one_screen_holds_every_section(folder: Path, columns: int, lines: int) -> None:
    summary, verdicts = results.summary_of(folder), results.verdicts(folder / "journal.jsonl")
    shown = list(screen(summary, Path("results/made"), verdicts, columns, lines))
    assert len(shown) <= lines - 1, "the last line is the prompt's"
    assert max(map(len, shown)) <= columns
    text = "\n".join(shown)
    assert shown[0] == "made: 53 of 54 trials measured, 1 failed"
    assert "slow: Supported" in text
    assert "startup.ready" in text
    for title in ("claims:", "median [95% interval]", "findings:", "ratio to process", "results: "):
        assert title in text
    assert "warning: the host was \ufffd[2Jbusy" in text
    assert ("--all prints what is left out" in text) == ("... and" in text or "left out" in text)


def test_what_is_left_out_is_counted(folder: Path) -> None:
    summary = results.summary_of(folder)
    shown = list(screen(summary, Path("x"), (), 80, 24))
    listed = sum(1 for line in shown if re.match(r"    (process|docker|kvm) guest", line))
    (more,) = [int(found[1]) for line in shown if (found := re.fullmatch(r"  \.\.\. and (\d+) more", line))][
        :1
    ]
    assert listed + more == sum(1 for row in summary.rows if row.n or "there already" not in row.reason)


def test_everything_fits_where_there_is_room(folder: Path) -> None:
    summary, verdicts = results.summary_of(folder), results.verdicts(folder / "journal.jsonl")
    shown = list(screen(summary, Path("x"), verdicts, 200, 1000))
    assert not [line for line in shown if "left out" in line or "more" in line]


def test_show_prints_one_screen_on_a_terminal_and_all_elsewhere(folder: Path) -> None:
    terminal = Terminal(80)
    assert terminal.run(["show", folder], folder.parents[2]) == 0
    assert b"\x1b" not in terminal.raw
    assert len(terminal.scrolled) <= 23
    assert terminal.scrolled[0].startswith("made: 53 of 54")
    terminal.close()
    said = vmvc("show", folder, cwd=folder.parents[2])
    assert len(said.out.splitlines()) > 100
    assert "left out" not in said.out


def test_all_prints_everything_on_a_terminal(folder: Path) -> None:
    terminal = Terminal(200)
    assert terminal.run(["show", "--all", folder], folder.parents[2]) == 0
    assert len(terminal.scrolled) > 100
    terminal.close()


def test_a_run_that_failed_on_one_backend_only_is_shown(tmp_path: Path) -> None:
    """Its image is a quantity there, and none where it was there already."""
    path = tmp_path / "x.yaml"
    path.write_text(
        "name: half\nmetrics: [startup]\ntrials: {count: 1, warmup: 0}\nbackends:\n"
        "  bad: {kind: fake, options: {fail: {start: no room}}}\n  good: {kind: fake}\n"
    )
    said = vmvc("run", path, cwd=tmp_path)
    assert said.code == 1
    assert re.search(r"^startup\.image +- +-$", said.out, re.MULTILINE), said.out


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({"until": 0}, "0 of 9 trials measured"),
        ({"until": 1}, "1 of 9 trials measured"),
        ({"until": 2}, "2 of 9 trials measured"),
        ({"failing": dict.fromkeys(range(1, 10), "too late")}, "0 of 9 trials measured, 9 failed"),
    ],
    ids=["nothing yet", "only a warm-up", "one trial", "no success"],
)
def test_odd_runs_are_shown_as_they_are(tmp_path: Path, made: dict[str, Any], words: str) -> None:
    folder = runs.make(tmp_path / "run", backends=("docker",), **made)
    summary = results.summary_of(folder)
    shown = list(screen(summary, folder, results.verdicts_of(folder), 80, 24))
    assert words in shown[0]
    assert len(shown) <= 23
    run = load(folder)
    assert len(run.frame("trials", "polars")) == made.get("until", 9)
    assert run.frame("readings", "polars").columns == list(run.table("readings").types)
    assert "of 9 trials" in words
    assert "measured" in run._repr_html_()
    assert status.read(folder).done == made.get("until", 9)
