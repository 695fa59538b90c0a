"""Memory runs out and the kernel kills vmvc: its worker costs a trial, and a killed run can be taken up."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.command import VMVC, vmvc

EXPERIMENT = """\
name: memory
backends: {{fake: {{options: {{state: {state}, ready: 4s}}}}}}
metrics: [startup]
trials: {{count: 3, warmup: 0, timeout: 30s, stop_timeout: 5s}}
"""
HOG = """
import pathlib, sys, time
def lives():
    try:
        return "Z (" not in pathlib.Path(f"/proc/{sys.argv[1]}/status").read_text()
    except OSError:
        return False
held = []
while lives():
    held.append(bytearray(b"x" * 2**20))
"""
"""Takes more and more until the victim is dead."""
LIMIT = 512 * 2**20

pytestmark = [pytest.mark.real("root"), pytest.mark.timeout(150)]


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A memory cgroup, of either version, that holds 512 MiB and no swap."""
    old = Path("/sys/fs/cgroup/memory")
    made = (old if old.is_dir() else Path("/sys/fs/cgroup")) / f"vmvc-test-{secrets.token_hex(4)}"
    try:
        made.mkdir()
    except OSError as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no cgroup can be made here: {error}")
    (made / ("memory.limit_in_bytes" if old.is_dir() else "memory.max")).write_text(str(LIMIT))
    try:
        yield made
    finally:
        while left := (made / "cgroup.procs").read_text().split():
            for one in left:
                with suppress(psutil.NoSuchProcess):
                    psutil.Process(int(one)).kill()
            time.sleep(0.05)
        made.rmdir()


def entering(cgroup: Path) -> list[str]:
    return ["sh", "-c", f'echo $$ >{cgroup}/cgroup.procs; exec "$@"', "sh"]


def begin(folder: Path, cgroup: Path) -> subprocess.Popen[str]:
    """Start a run in the cgroup; return when its second trial waits for the guest."""
    (folder / "memory.yaml").write_text(EXPERIMENT.format(state=folder / "state"))
    running = subprocess.Popen(
        [*entering(cgroup), VMVC, "run", "memory.yaml"], cwd=folder, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while True:
        assert running.poll() is None
        assert time.monotonic() < deadline
        for status in folder.glob("results/memory/*/status.json"):
            try:
                now = json.loads(status.read_text())
            except (OSError, ValueError):
                continue
            if (now.get("trial"), now["step"]) == (2, "ready"):
                return running
        time.sleep(0.02)


def take_all(cgroup: Path, victim: int) -> None:
    """Let the memory of the cgroup run out; the kernel chooses the victim before all others."""
    Path(f"/proc/{victim}/oom_score_adj").write_text("1000")
    hog = [*entering(cgroup), sys.executable, "-c", HOG, str(victim)]
    assert subprocess.run(hog, check=False, timeout=60).returncode in (
        0,
        -9,
    )  # The next one is the hog itself.


def trials_of(folder: Path) -> list[dict[str, Any]]:
    (journal,) = folder.glob("results/memory/*/journal.jsonl")
    return [line for line in map(json.loads, journal.read_text().splitlines()) if line["record"] == "trial"]


def worker_of(parent: int) -> int:
    (child,) = (one for one in psutil.Process(parent).children() if "vmvc.worker" in " ".join(one.cmdline()))
    return child.pid


def test_a_worker_that_the_kernel_kills_for_memory_costs_its_trial(tmp_path: Path, cgroup: Path) -> None:
    running = begin(tmp_path, cgroup)
    take_all(cgroup, worker_of(running.pid))
    _, err = running.communicate(timeout=60)
    assert running.returncode == 1, err
    trials = trials_of(tmp_path)
    assert [(one["trial"], one["outcome"]) for one in trials] == [
        *((1, "measured"), (2, "failed"), (3, "measured")),
    ]
    failure = trials[1]["failure"]
    assert (failure["phase"], failure["error"]) == ("ready", "WorkerDied")
    assert "by signal SIGKILL" in failure["reason"]
    assert "out of memory" in failure["reason"]
    assert left_in(tmp_path) == []


def test_a_run_that_the_kernel_kills_for_memory_can_be_taken_up(tmp_path: Path, cgroup: Path) -> None:
    running = begin(tmp_path, cgroup)
    worker = psutil.Process(worker_of(running.pid))
    take_all(cgroup, running.pid)
    running.communicate(timeout=60)
    assert running.returncode == -9
    worker.wait(30)
    assert left_in(tmp_path) == []
    assert [one["trial"] for one in trials_of(tmp_path)] == [1]
    (run,) = tmp_path.glob("results/memory/*")
    said = vmvc("run", "--resume", run, cwd=tmp_path)
    assert said.code == 0, said.err
    assert [(one["trial"], one["outcome"]) for one in trials_of(tmp_path)] == [
        *((1, "measured"), (2, "measured"), (3, "measured")),
    ]


def left_in(folder: Path) -> list[str]:
    return [one.name for one in (folder / "state").iterdir() if not one.name.startswith(".")]
