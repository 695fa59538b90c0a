"""Whole runs on the fake backend that require something of the host, or tune it: ended in every way."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.command import Said
from tests.sysfs import FILES, TUNED, plant, tree

FAKE = """\
name: first
backends: {{fake: {{options: {{state: {state}, ready: {ready}}}}}}}
metrics: [startup]
trials: {{count: 5, warmup: 0, timeout: 5s}}
{more}
"""
TUNE = "tune: [governor, turbo, aslr]"
COMMAND = "import sys; from pathlib import Path; {prelude}; from vmvc.cli import main; main()"
SCRATCH = "from vmvc import tuning; tuning.ROOT = Path({root!r})"
"""Makes a scratch tree the host that is tuned."""
BUSY = """\
from vmvc import host, preflight; from vmvc.contract import Finding, Severity
looks = iter({looks}); preflight.LOOK = 0.1; find = host.findings
busy = Finding("host.load", Severity.WARNING, "the host is busy", "wait")
host.findings = lambda since=None: [busy] if next(looks, {after}) else []"""
"""Makes the host busy at these looks, and then always or never."""

ASLR = "proc/sys/kernel/randomize_va_space"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return plant(tmp_path / "host")


@pytest.fixture
def fake(tmp_path: Path, experiment: Callable[[str], Path]) -> Callable[..., Path]:
    """Write an experiment with these lines."""

    def write(*more: str, ready: str = "1ms") -> Path:
        return experiment(FAKE.format(state=tmp_path / "state", ready=ready, more="\n".join(more)))

    return write


def started(tmp_path: Path, prelude: str, *arguments: str | Path) -> subprocess.Popen[str]:
    script = COMMAND.replace("{prelude}", f"exec({prelude!r})")
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def said(tmp_path: Path, prelude: str, *arguments: str | Path) -> Said:
    with started(tmp_path, f"from pathlib import Path; {prelude}", *arguments) as running:
        out, err = running.communicate(timeout=60)
    assert "Traceback" not in err, err
    return Said(running.returncode, out, err)


def on(root: Path) -> str:
    return SCRATCH.format(root=str(root))


def until(running: subprocess.Popen[str], start: str) -> None:
    assert running.stderr is not None
    for line in running.stderr:
        if line.startswith(start):
            return
    raise AssertionError(f"it never said {start}")


def run_of(folder: Path) -> Path:
    return max((folder / "results" / "first").iterdir(), key=lambda path: path.stat().st_mtime)


def journal_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run_of(folder) / "journal.jsonl").read_text().splitlines()]


def codes(record: dict[str, Any]) -> list[str]:
    return [finding["code"] for finding in record["findings"]]


# --- tuned ------------------------------------------------------------------------------------------------


def test_what_was_tuned_is_recorded(tmp_path: Path, root: Path, fake: Callable[..., Path]) -> None:
    done = said(tmp_path, on(root), "run", fake(TUNE))
    assert done.code == 0, done.err
    assert tree(root) == FILES
    about = json.loads((run_of(tmp_path) / "run.json").read_text())
    assert about["host"]["tuned"] == "governor turbo aslr"
    head, *trials = journal_of(tmp_path)
    for record in (about, head):
        found = [finding["what"] for finding in record["findings"] if finding["code"] == "tune.aslr"]
        assert found == [f"tuned for this run: {root / ASLR}: from 2 to 0"]
    assert not any(code.startswith("tune") for trial in trials for code in codes(trial))
    assert "from powersave to performance" in done.err


@pytest.mark.parametrize(
    ("number", "times"), [(signal.SIGINT, 1), (signal.SIGTERM, 1), (signal.SIGHUP, 1), (signal.SIGTERM, 2)]
)
def test_a_signal_puts_everything_back(
    tmp_path: Path, root: Path, fake: Callable[..., Path], number: signal.Signals, times: int
) -> None:
    with started(
        tmp_path, f"from pathlib import Path; {on(root)}", "run", fake(TUNE, ready="200ms")
    ) as running:
        until(running, "1/5")
        assert tree(root) == {**FILES, **TUNED}
        for _ in range(times):
            running.send_signal(number)
        running.communicate(timeout=30)
    assert running.returncode == 130
    assert tree(root) == FILES


def test_killed_the_next_run_puts_everything_back(
    tmp_path: Path, root: Path, fake: Callable[..., Path]
) -> None:
    with started(
        tmp_path, f"from pathlib import Path; {on(root)}", "run", fake(TUNE, ready="200ms")
    ) as running:
        until(running, "1/5")
        refused = said(tmp_path, on(root), "restore")
        assert (refused.code, "still lives" in refused.err) == (3, True)
        running.kill()
        running.communicate(timeout=30)
    assert tree(root) == {**FILES, **TUNED}
    done = said(tmp_path, on(root), "run", "--resume", run_of(tmp_path))
    assert done.code == 0, done.err
    assert "a run that died had left this host tuned; put back" in done.err
    assert tree(root) == FILES
    (resumed,) = (record for record in journal_of(tmp_path) if record["record"] == "resume")
    assert {"tune.restored", "tune.governor", "tune.aslr"} <= set(codes(resumed))
    done = said(tmp_path, on(root), "run", fake())
    assert "put back" not in done.err


def test_restore_prints_what_was_put_back(tmp_path: Path, root: Path, fake: Callable[..., Path]) -> None:
    with started(
        tmp_path, f"from pathlib import Path; {on(root)}", "run", fake(TUNE, ready="200ms")
    ) as running:
        until(running, "1/5")
        running.kill()
        running.communicate(timeout=30)
    (root / ASLR).write_bytes(b"1\n")
    no_engines = f"{on(root)}; from vmvc import registry; registry.backend_kinds = list"
    doctor = json.loads(said(tmp_path, no_engines, "doctor", "--json").out)
    assert "tune.left" in codes(doctor["host"])
    done = said(tmp_path, on(root), "restore")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert len(lines) == 5
    assert f"{root / ASLR}: left alone: it is 1, vmvc had set 0 and found 2" in lines
    assert f"{root}/sys/devices/system/cpu/cpufreq/policy0/scaling_governor: put back to powersave" in lines
    assert tree(root) == {**FILES, ASLR: b"1\n"}
    done = said(tmp_path, on(root), "restore")
    assert (done.code, done.out) == (0, "nothing to put back: no run has left this host tuned\n")


def test_a_setting_that_somebody_changes_is_found_on_the_trials_after_it(
    tmp_path: Path, root: Path, fake: Callable[..., Path]
) -> None:
    with started(
        tmp_path, f"from pathlib import Path; {on(root)}", "run", fake(TUNE, ready="100ms")
    ) as running:
        until(running, "2/5")
        (root / ASLR).write_bytes(b"1\n")
        _, err = running.communicate(timeout=30)
    assert running.returncode == 0
    assert "was changed meanwhile and is left alone: it is 1" in err
    _, *trials = journal_of(tmp_path)
    changed = ["tune.changed" in codes(trial) for trial in trials]
    assert (changed[:2], changed[-1]) == ([False, False], True)
    assert tree(root) == {**FILES, ASLR: b"1\n"}


def test_a_host_that_cannot_be_tuned_stops_before_the_first_trial(
    tmp_path: Path, root: Path, fake: Callable[..., Path]
) -> None:
    (root / ASLR).unlink()
    done = said(tmp_path, on(root), "run", fake(TUNE))
    assert done.code == 3
    assert "tune: aslr: this host does not show address randomisation" in done.err
    assert not (tmp_path / "results").exists()
    assert tree(root) == {name: value for name, value in FILES.items() if name != ASLR}


# --- required ---------------------------------------------------------------------------------------------


def test_a_run_stops_where_it_must_and_leaves_no_folder(tmp_path: Path, fake: Callable[..., Path]) -> None:
    done = said(tmp_path, BUSY.format(looks=[], after=True), "run", fake("require: {load: stop}"))
    assert done.code == 3
    assert "error: load: the host is busy\n  hint: wait\n" in done.err
    assert list((tmp_path / "results").rglob("*/*")) == []


def test_a_run_waits_and_records_that_it_did(tmp_path: Path, fake: Callable[..., Path]) -> None:
    prelude = BUSY.format(looks=[True, True, True, False], after=False)
    done = said(tmp_path, prelude, "run", fake("require: {load: wait}"))
    assert done.code == 0, done.err
    assert done.err.count("waiting at most 10 min until this is over: load") == 1
    head, *trials = journal_of(tmp_path)
    assert codes(head) == ["host.waited"]
    assert len(trials) == 5


def test_a_run_that_waits_can_be_stopped(tmp_path: Path, root: Path, fake: Callable[..., Path]) -> None:
    prelude = f"from pathlib import Path; {on(root)}\n" + BUSY.format(looks=[], after=True)
    with started(tmp_path, prelude, "run", fake("require: {load: wait}", TUNE)) as running:
        until(running, "waiting at most 10 min")
        running.send_signal(signal.SIGINT)
        try:
            _, err = running.communicate(timeout=30)
        finally:
            running.kill()
    assert running.returncode == 130
    assert "nothing was measured" in err
    assert tree(root) == FILES


def test_what_is_not_named_is_a_warning(tmp_path: Path, fake: Callable[..., Path]) -> None:
    done = said(tmp_path, BUSY.format(looks=[], after=True), "run", fake("require: {governor: stop}"))
    assert done.code == 0
    assert "warning: the host is busy (wait)" in done.err
    assert codes(journal_of(tmp_path)[0]) == ["host.load"]
    assert json.loads((run_of(tmp_path) / "run.json").read_text())["host"]["tuned"] == ""


def test_trials_tell_of_the_kernels_warnings(tmp_path: Path, fake: Callable[..., Path]) -> None:
    prelude = (
        "from vmvc import host; from vmvc.host.kernel_log import Lines\n"
        "host.KernelLog.new = lambda self: Lines(7, ('a fan failed', 'a disk is slow'))"
    )
    assert said(tmp_path, prelude, "run", fake(), "--quiet").code == 0
    _, trial, *_ = journal_of(tmp_path)
    assert trial["noise"]["kernel_warnings"] == 7
    (finding,) = (finding for finding in trial["findings"] if finding["code"] == "host.kernel-log")
    assert finding["what"].endswith("among them a fan failed; a disk is slow")
