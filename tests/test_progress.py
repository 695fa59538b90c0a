"""What a run shows while it goes on: a table on a terminal of any size, lines elsewhere, or JSON."""

from __future__ import annotations

import io
import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console

from tests.command import vmvc
from tests.report import runs
from tests.terminal import Terminal
from vmvc.cli import live
from vmvc.cli.board import Board, sparks
from vmvc.cli.live import Live
from vmvc.cli.progress import Style
from vmvc.pace import Pace
from vmvc.plan import Plan, PlannedTrial
from vmvc.records_journal import ReadingRecord, TrialRecord
from vmvc.spec import Trials

FAKE = """\
name: shown
backends:
  fake: {{options: {{state: {state}, {options}}}}}
  other: {{kind: fake, options: {{ready: 20ms, state: {state}}}}}
metrics: [startup]
trials: {{count: 7, warmup: 0, timeout: 5s, stop_timeout: 2s}}
"""
ESCAPE = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def file(tmp_path: Path, experiment: Callable[[str], Path]) -> Callable[..., Path]:
    def write(options: str = "ready: 10ms") -> Path:
        return experiment(FAKE.format(state=tmp_path / "state", options=options))

    return write


def table(screen: tuple[str, ...]) -> list[str]:
    """Return the lines of the table that is drawn while a run goes on."""
    starts = [at for at, line in enumerate(screen) if line.startswith("condition")]
    return list(screen[starts[-1] :]) if starts else []


def test_a_long_step_is_named_with_its_time(tmp_path: Path, file: Callable[..., Path]) -> None:
    terminal = Terminal(80)
    assert terminal.run(["run", file("ready: 2500ms"), "--only", "fake", "--trials", "1"], tmp_path) == 0
    assert any("trial 1 fake: ready for " in line for screen in terminal.screens for line in screen)
    terminal.close()


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_a_terminal_shows_a_table_that_fits(tmp_path: Path, file: Callable[..., Path], columns: int) -> None:
    terminal = Terminal(columns)
    assert terminal.run(["run", file("ready: 300ms")], tmp_path) == 0
    drawn = [table(screen) for screen in terminal.screens]
    assert max(map(len, drawn)) == 3, "a head and a line for each condition"
    assert all(len(line) <= columns for screen in terminal.screens for line in screen)
    last = [shown for shown in drawn if shown][-1]
    assert last[0].split()[:3] == ["condition", "trials", "median"]
    assert last[1].startswith("fake ")
    if columns > 60:
        assert "startup.ready" in last[0]
        assert re.search(r"\d+ ms \[\d+ ms, \d+ ms\]", last[1]), last
    assert any("left" in line for screen in terminal.screens for line in screen)
    assert not table(terminal.screen), "it is gone when the run is over"
    assert any(line.startswith("shown: 14 of 14 trials measured") for line in terminal.scrolled)
    terminal.close()


def test_a_terminal_that_is_made_narrower_is_drawn_clean(tmp_path: Path, file: Callable[..., Path]) -> None:
    terminal = Terminal(120)
    sizes = iter([(60, 20), (200, 30)])

    def look(seen: Terminal) -> None:
        done = re.search(r"(\d+)/14", "\n".join(seen.screen))
        if done is not None and int(done[1]) >= 3 * len(seen_sizes) + 3 and len(seen_sizes) < 2:
            seen_sizes.append(next(sizes))
            seen.resize(*seen_sizes[-1])

    seen_sizes: list[tuple[int, int]] = []
    assert terminal.run(["run", file("ready: 400ms")], tmp_path, look=look) == 0
    assert len(seen_sizes) == 2
    for screen in terminal.screens:
        assert sum(line.startswith("condition") for line in screen) <= 1, screen
    assert any(line.startswith("shown: 14 of 14") for line in terminal.scrolled)
    terminal.close()


def test_a_failure_and_a_finding_stay_on_the_terminal(tmp_path: Path, file: Callable[..., Path]) -> None:
    terminal = Terminal(80)
    path = file('fail: {start: "no \\e[2J\\e]0;x\\a room"}')
    assert terminal.run(["run", path], tmp_path) == 1
    assert any("no \ufffd[2J\ufffd]0;x\ufffd room" in line for line in terminal.scrolled), terminal.scrolled
    assert b"\x1b]0;x" not in terminal.raw
    assert b"\x07" not in terminal.raw
    terminal.close()


def test_no_color_draws_without_colours(tmp_path: Path, file: Callable[..., Path]) -> None:
    terminal = Terminal(80)
    assert terminal.run(["run", file()], tmp_path, NO_COLOR="1") == 0
    codes = {one for found in re.findall(rb"\x1b\[([0-9;]*)m", terminal.raw) for one in found.split(b";")}
    assert codes <= {b"", b"0", b"1", b"2"}, codes
    assert any(table(screen) for screen in terminal.screens)
    terminal.close()


def test_plain_gives_lines_without_control(tmp_path: Path, file: Callable[..., Path]) -> None:
    terminal = Terminal(80)
    assert terminal.run(["run", file(), "--plain"], tmp_path) == 0
    assert not any(table(screen) for screen in terminal.screens)
    assert b"14/14" in terminal.raw
    assert b"\x1b" not in terminal.raw.partition(b"shown: 14 of 14")[0]
    terminal.close()


@pytest.mark.parametrize(
    ("term", "encoding", "style"),
    [
        ("xterm", "utf-8", Style.LIVE),
        ("dumb", "utf-8", Style.LINES),
        ("", "utf-8", Style.LINES),
        ("xterm", "ascii", Style.LINES),
    ],
)
def test_a_terminal_that_cannot_draw_gets_lines(
    monkeypatch: pytest.MonkeyPatch, term: str, encoding: str, style: Style
) -> None:
    class Stream(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stderr", Stream(io.BytesIO(), encoding=encoding))
    monkeypatch.setenv("TERM", term)
    assert Style.of(quiet=False, as_json=False) is style
    assert Style.of(quiet=False, as_json=False, lines=True) is Style.LINES


def test_without_a_terminal_there_are_lines(tmp_path: Path, file: Callable[..., Path]) -> None:
    said = vmvc("run", file("fail: {start: no room}"), cwd=tmp_path)
    assert "\x1b" not in said.err + said.out
    assert "14/14" in said.err
    assert "failed in start: no room" in said.err


def test_json_lines_hold_folder_findings_trials_and_summary(
    tmp_path: Path, file: Callable[..., Path]
) -> None:
    said = vmvc("run", file(), "--json", cwd=tmp_path)
    *lines, summary = [json.loads(line) for line in said.out.splitlines()]
    (opened,) = [line for line in lines if line["record"] == "opened"]
    assert (opened["trials"], opened["done"]) == (14, 0)
    assert (tmp_path / opened["folder"] / "journal.jsonl").exists()
    assert [line["trial"] for line in lines if line["record"] == "trial"] == list(range(1, 15))
    assert all(line["code"] and line["what"] for line in lines if line["record"] == "finding")
    assert summary["measured"] == 14


def test_nothing_that_draws_reports_is_imported_before_the_last_trial(
    tmp_path: Path, experiment: Callable[[str], Path]
) -> None:
    """The report fails to be imported, and all trials are measured before that is told."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        late = ('altair', 'jinja2', 'polars', 'pandas', 'vl_convert', 'rocrate')\n"
        "        if name.split('.')[0] in late:\n"
        "            import glob\n"
        '            done = sum(open(p).read().count(\'"record":"trial"\')'
        " for p in glob.glob('results/*/*/journal.jsonl'))\n"
        "            print('asked for', name, 'after', done, file=sys.stderr)\n"
        "sys.meta_path.insert(0, Refuse())\n"
    )
    path = experiment("name: late\nbackends: [fake]\nmetrics: [startup]\ntrials: {count: 2, warmup: 0}\n")
    said = vmvc("run", path, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert said.code == 0
    asked = re.findall(r"asked for (\w+).* after (\d+)", said.err)
    assert ("jinja2", "2") in asked
    assert {after for _, after in asked} == {"2"}


def test_the_table_imports_nothing_that_draws_reports() -> None:
    code = (
        "import sys, vmvc.cli.live\n"
        "late = {'altair', 'jinja2', 'polars', 'pandas', 'vl_convert', 'rocrate'}\n"
        "print(sorted(late & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# --- what drawing costs -----------------------------------------------------------------------------------


def plan(count: int = 30) -> Plan:
    axes = {name: {"guest.memory": tuple(f"{at}GiB" for at in range(1, 8))} for name in runs.SPEED}
    return Plan(axes, (("startup",),), Trials(count=count, warmup=1, seed=7))


def record(trial: PlannedTrial, chance: random.Random) -> TrialRecord:
    value = runs.SPEED[trial.condition.backend] * chance.uniform(0.9, 1.1)
    return TrialRecord(
        trial=trial.number,
        block=trial.block,
        position=trial.position,
        warmup=trial.warmup,
        backend=trial.condition.backend,
        condition=trial.condition.id,
        factors=trial.condition.factors,
        metrics=("startup",),
        instance="x",
        wall="2026-11-24T12:00:00.000+00:00",
        outcome="measured",
        events={},
        readings=(
            ReadingRecord(metric="startup", quantity="ready", value=value, unit="s", resolution=0.001),
        ),
    )


def shown(width: int, height: int) -> tuple[Live, Plan]:
    made = plan()
    drawn = Live(Console(file=io.StringIO(), force_terminal=True, width=width, height=height))
    drawn._board, drawn._pace = Board("many", made, len(made)), Pace(made)
    return drawn, made


def test_drawing_takes_less_than_a_hundredth_of_a_core_at_most_four_times_a_second() -> None:
    """For two seconds as many trials as the parent can take in, 21 conditions in all."""
    drawn, made = shown(80, 24)
    chance = random.Random(7)
    trials = [(trial, record(trial, chance)) for trial in made]
    times: list[float] = []
    costs: list[float] = []
    real = drawn._draw

    def draw(*, now: bool = False) -> None:
        before, cpu = drawn.drawn, time.thread_time()
        real(now=now)
        if drawn.drawn > before:
            times.append(time.monotonic())
            costs.append(time.thread_time() - cpu)

    drawn._draw = draw  # type: ignore[method-assign]
    with drawn:
        drawn._draw(now=True)
        began = time.monotonic()
        while time.monotonic() - began < 2:
            for trial, ended in trials[:50]:
                drawn.begun(trial)
                for step in ("create", "start", "ready", "observe", "stop", "destroy"):
                    drawn.step(step)
                drawn.ended(ended)
            time.sleep(0.02)
    assert 1 < len(times) <= 2 * 4 + 1
    assert all(b - a >= live.SOONEST * 0.9 for a, b in pairwise(times))
    assert sum(costs[:-1]) <= (times[-1] - began + 0.1) * live.SHARE * 1.2


def test_nothing_is_drawn_in_the_first_second_of_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("vmvc.cli.live.time.monotonic", lambda: now[0])
    drawn, made = shown(80, 24)
    with drawn:
        drawn.begun(next(iter(made)))
        before = drawn.drawn
        for _ in range(9):
            now[0] += 0.1
            drawn.step("ready")
        assert drawn.drawn == before
        now[0] += 0.2
        drawn.step("ready")
        assert drawn.drawn == before + 1


@pytest.mark.parametrize("height", [4, 6, 10, 24])
def test_a_board_fits_any_height_and_says_what_it_leaves_out(height: int) -> None:
    made = plan()
    board = Board("many", made, len(made))
    for trial in list(made)[:100]:
        board.begun(trial.condition.id)
        board.take(record(trial, random.Random(trial.number)))
    for width in (40, 60, 80, 200):
        console = Console(
            file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None
        )
        console.print(board.draw(width, height))
        lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
        assert len(lines) <= height
        assert all(len(line.rstrip()) <= width for line in lines)
        if height == 10:
            assert "more conditions" in lines[-1]


def test_points_are_drawn_from_zero_so_that_a_small_difference_looks_small() -> None:
    assert sparks([100.0, 99.0, 50.0, 0.0, None]) == "██▅▁×"  # noqa: RUF001
    assert sparks([]) == ""
    assert sparks([0.0]) == "▁"
