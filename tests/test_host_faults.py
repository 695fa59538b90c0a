"""A host that fails in the middle of a run: full or read-only storage, few file handles, a lost terminal."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import VMVC, vmvc

EXPERIMENT = """\
name: faults
backends: {{fake: {{options: {{state: {state}, ready: {ready}}}}}}}
metrics: [startup]
trials: {{count: 4, warmup: 0, timeout: 5s, stop_timeout: 2s}}
"""
PAUSE = "400ms"
"""How long a guest takes to be ready where a test must come in between."""


def write(folder: Path, ready: str = "1ms") -> Path:
    path = folder / "experiment.yaml"
    path.write_text(EXPERIMENT.format(state=folder / "state", ready=ready))
    return path


def trials_of(results: Path) -> list[int]:
    (run,) = results.glob("faults/*")
    text = (run / "journal.jsonl").read_text()
    lines = map(json.loads, text[: text.rfind("\n") + 1].splitlines())
    return [line["trial"] for line in lines if line["record"] == "trial"]


def taken_up(folder: Path, results: Path) -> None:
    (run,) = results.glob("faults/*")
    said = vmvc("run", "--resume", run, cwd=folder)
    assert said.code == 0, said.err
    assert trials_of(results) == [1, 2, 3, 4]
    assert [one.name for one in (folder / "state").iterdir()] == []


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of its own, of 1 MiB, in memory."""
    place = tmp_path / "small"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], capture_output=True, check=False
    )
    if done.returncode:
        assert not os.environ.get("CI"), done.stderr
        pytest.skip(f"a file system cannot be mounted: {done.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def begin(folder: Path, results: Path) -> subprocess.Popen[str]:
    """Start a run; return after its second trial has begun."""
    running = subprocess.Popen(
        [VMVC, "run", write(folder, PAUSE), "--results", results],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr is not None
    for line in running.stderr:
        if line.startswith("1/4"):
            return running
    raise AssertionError(f"it ended with {running.wait()}")


def test_results_on_a_disk_that_fills_up_can_be_taken_up(tmp_path: Path, small: Path) -> None:
    running = begin(tmp_path, small)
    filler = os.open(small / "filler", os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while True:
            os.write(filler, bytes(4096))
    os.close(filler)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 3, err
    assert "No space left on device" in err
    assert "vmvc run --resume" in err
    (small / "filler").unlink()
    taken_up(tmp_path, small)


def test_results_on_a_disk_that_became_read_only_can_be_read(tmp_path: Path, small: Path) -> None:
    """The kernel makes a disk with errors so: nothing is lost, and what needs to write says so in words."""
    running = begin(tmp_path, small)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    (run,) = small.glob("faults/*")
    before = (run / "journal.jsonl").read_bytes()
    subprocess.run(["mount", "-o", "remount,ro", small], check=True)
    for words in (
        ("run", "--resume", run),
        ("run", write(tmp_path), "--results", small),
        ("report", run),
    ):
        said = vmvc(*words, cwd=tmp_path)
        assert said.code in (2, 3), said.err
        assert "Read-only file system" in said.err, said.err
    for words in (("validate", run), ("show", run), ("claims", run), ("status", run)):
        assert vmvc(*words, cwd=tmp_path).code == 0
    assert (run / "journal.jsonl").read_bytes() == before
    subprocess.run(["mount", "-o", "remount,rw", small], check=True)
    taken_up(tmp_path, small)


@pytest.mark.parametrize("handles", [8, 12, 16, 24, 40])
def test_too_few_file_handles_end_in_words(tmp_path: Path, handles: int) -> None:
    path = write(tmp_path)
    said = subprocess.run(
        ["sh", "-c", f'ulimit -n {handles}; exec "$0" run "$1"', VMVC, path],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "Traceback" not in said.stderr, said.stderr
    assert said.returncode in (0, 2, 3), said.stderr
    if said.returncode:
        assert "Too many open files" in said.stderr, said.stderr


def test_a_lost_terminal_ends_the_run_in_good_order(tmp_path: Path) -> None:
    path = write(tmp_path, PAUSE)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execv(VMVC, [VMVC, "run", str(path)])
    while not list(tmp_path.glob("results/faults/*/journal.jsonl")) or not trials_of(tmp_path / "results"):
        os.read(terminal, 4096)
    os.close(terminal)
    limit = time.monotonic() + 30
    while (done := os.waitpid(pid, os.WNOHANG)) == (0, 0):
        assert time.monotonic() < limit, "it goes on without its terminal"
        time.sleep(0.05)
    assert os.waitstatus_to_exitcode(done[1]) in (130, -signal.SIGHUP)
    taken_up(tmp_path, tmp_path / "results")
