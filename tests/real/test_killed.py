"""Runs on real engines, killed at random instants and taken up again: every trial exactly once, nothing left.

Few instants by default; ``VMVC_KILLS=100`` tries a hundred on each engine (``make torture``). When and whom
is drawn from a seed that a failure prints, and ``VMVC_KILL_SEED`` repeats it.
"""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.command import VMVC, vmvc
from tests.real.left import left_behind
from vmvc.audit import audit

EXPERIMENT = """\
name: killed
backends: [{backend}]
metrics: {{startup: {{}}, shutdown: {{}}, memory: {{settle: 100ms}}, disk: {{}}}}
trials: {{count: 3, warmup: 0, timeout: 90s}}
"""
TRIALS = [1, 2, 3]
KILLS = {"docker": 2, "libvirt": 1}
"""Instants that are tried by default, by engine."""

pytestmark = [pytest.mark.real("docker", "libvirt", "root"), pytest.mark.timeout(4 * 3600)]


@dataclass(frozen=True)
class Blow:
    """Who is killed, and when: seconds after the run's folder appeared."""

    whom: str
    after: float

    def fall(self, running: subprocess.Popen[bytes]) -> None:
        time.sleep(self.after)
        if running.poll() is not None:
            return
        workers = [one for one in psutil.Process(running.pid).children() if "vmvc.worker" in _line(one)]
        parent = psutil.Process(running.pid)
        for victim in {"parent": [parent], "worker": workers, "both": [parent, *workers]}[self.whom]:
            victim.send_signal(signal.SIGKILL)


def _line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def begin(folder: Path, backend: str) -> subprocess.Popen[bytes]:
    """Start a run and return when its folder is there."""
    folder.mkdir()
    (folder / "killed.yaml").write_text(EXPERIMENT.format(backend=backend))
    running = subprocess.Popen(
        [VMVC, "run", "killed.yaml", "--quiet"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not list(folder.glob("results/killed/*")):
        assert running.poll() is None, f"vmvc run ended with {running.returncode}"
        time.sleep(0.005)
    return running


def took(folder: Path, backend: str) -> float:
    """Return how long a run takes, in seconds, from its folder to its end."""
    running = begin(folder, backend)
    before = time.monotonic()
    assert running.wait() == 0
    return time.monotonic() - before


@pytest.mark.parametrize("backend", KILLS)
def test_killed_at_random_instants_and_taken_up_no_trial_is_lost(tmp_path: Path, backend: str) -> None:
    seed = int(os.environ.get("VMVC_KILL_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 30)
    draw = random.Random(seed)
    whole = took(tmp_path / "whole", backend)
    for number in range(1, 1 + int(os.environ.get("VMVC_KILLS", KILLS[backend]))):
        blow = Blow(draw.choice(["parent", "worker", "both"]), draw.uniform(0.0, whole))
        about = f"seed {seed}, kill {number}: {blow} of {whole:.2f} s"
        folder = tmp_path / str(number)
        running = begin(folder, backend)
        blow.fall(running)
        running.wait()
        runs = list(folder.glob("results/killed/*"))
        if not runs or not (before := _journal(runs[0])):
            continue  # Killed before the first record: nothing had begun, and nothing may be there.
        (run,) = runs
        said = vmvc("run", "--resume", run, cwd=folder)
        assert said.code in (0, 1), f"{about}: {said.err}"
        check(run, before, about, killed_parent=blow.whom == "parent")
    _nothing_is_left(tmp_path)


def check(run: Path, before: bytes, about: str, *, killed_parent: bool) -> None:
    """Fail where a trial is missing, there twice or not as it was, or something is left of the run."""
    journal = _journal(run)
    assert journal.startswith(before), f"{about}: a record was changed"
    trials = [line for line in map(json.loads, journal.splitlines()) if line["record"] == "trial"]
    assert sorted(one["trial"] for one in trials) == TRIALS, about
    failed = [one for one in trials if one["outcome"] == "failed"]
    assert not (failed and killed_parent), f"{about}: {failed}"
    assert len(failed) <= 1, about
    assert all("ended by signal SIGKILL" in one["failure"]["reason"] for one in failed), f"{about}: {failed}"
    with (run / "measurements.csv").open() as file:
        rows = Counter((row["trial"], row["metric"], row["quantity"]) for row in csv.DictReader(file))
    assert set(rows.values()) == {1}, about
    assert list(audit(run)) == [], about
    assert [one.name for one in run.glob(".*")] == [], about
    assert _soon(lambda: left_behind(run.name)) == [], about


def _journal(run: Path) -> bytes:
    """Return the journal's whole lines."""
    path = run / "journal.jsonl"
    text = path.read_bytes() if path.exists() else b""
    return text[: text.rfind(b"\n") + 1]


def _soon(left: Callable[[], list[str]], seconds: float = 5.0) -> list[str]:
    """Return what is left, waiting for what is just going; a killed process's child ends a moment later."""
    limit = time.monotonic() + seconds
    while (found := left()) and time.monotonic() < limit:
        time.sleep(0.1)
    return found


def _nothing_is_left(folder: Path) -> None:
    """What runs left that had not begun, and so are not taken up, goes with the next sweep."""
    assert vmvc("clean", cwd=folder).code == 0
    for run in folder.glob("*/results/killed/*"):
        assert left_behind(run.name) == []
