"""The host falls asleep in the middle of a trial, and between two; to be run in the lab, which can sleep."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.real.lab.command import trials, vmvc

HOSTS = """\
name: suspend
guest: {image: tiny, cpus: 1, memory: 64MiB, %s}
backends: {%s}
metrics: {%s}
trials: {count: 9, warmup: 0, timeout: 8s, stop_timeout: 8s, pause: 5s}
"""
FAKE = HOSTS % (
    "ready: {http: {port: 80}}",
    "fake: {options: {state: state, ready: 4s, stop: 500ms}}",
    "startup: {}, shutdown: {}",
)
SERVES = "sleep 4; exec httpd -f -p 8095 -h /www"
TIMES = "a=$(date +%s); sleep 4; b=$(date +%s); echo $((b - a))"
SERVED = f"command: [sh, -c, '{SERVES}'], ready: {{http: {{port: 8095, interval: 50ms}}}}"
PROCESS = HOSTS % (SERVED, "process: {}", "startup: {}, shutdown: {}, memory: {settle: 1s}")
TOOL = f"""\
name: tool
guest: {{image: tiny, cpus: 1, memory: 64MiB, {SERVED}}}
backends: [process]
metrics:
  workload:
    run: {{command: [sh, -c, '{TIMES}'], quantities: {{told: {{unit: s, lines: {{}}}}}}}}
    warmup: 0
    iterations: 1
trials: {{count: 1, warmup: 0, timeout: 20s}}
"""
STUCK = """\
name: stuck
backends: {fake: {options: {state: state, ready: 1h}}}
metrics: [startup]
trials: {count: 2, warmup: 0, timeout: 8s}
"""
ASLEEP = 14
"""Seconds for which the host is to sleep, more than any step may take."""


def slept() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


def sleep() -> float:
    """Send this host to sleep (S3), let its clock wake it, and return for how long it slept."""
    before = slept()
    subprocess.run(["rtcwake", "-m", "mem", "-s", str(ASLEEP)], check=True, stdout=subprocess.DEVNULL)
    asleep = slept() - before
    assert asleep > 8, "this host did not sleep"
    return asleep


class Run:
    """A run that goes on in a folder."""

    def __init__(self, folder: Path, experiment: str) -> None:
        (folder / "e.yaml").write_text(experiment)
        self.folder = folder
        self.process = subprocess.Popen(vmvc("run", "e.yaml", "--plain"), cwd=folder, stderr=subprocess.PIPE)

    def until(self, trial: int, step: str) -> int:
        """Wait until it does that, in that trial or a later one, and return which."""
        limit = time.monotonic() + 200
        while (now := self.now()) is None or now["step"] != step or now.get("trial", 0) < trial:
            assert self.process.poll() is None
            assert time.monotonic() < limit, now
            time.sleep(0.05)
        time.sleep(0.5)
        return int(now["trial"])

    def now(self) -> dict[str, Any] | None:
        for path in self.folder.glob("results/*/*/status.json"):
            try:
                now: dict[str, Any] = json.loads(path.read_text())
            except (OSError, ValueError):
                return None
            return now
        return None

    def done(self) -> list[dict[str, Any]]:
        return trials(self.folder / "results")

    def asks(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """Ask something from another terminal."""
        return subprocess.run(vmvc(*words), cwd=self.folder, capture_output=True, text=True, check=False)

    @property
    def path(self) -> Path:
        (path,) = self.folder.glob("results/*/*")
        return path


@pytest.mark.parametrize("experiment", [FAKE, PROCESS], ids=["fake", "process"])
def test_a_run_goes_on_after_the_host_slept(tmp_path: Path, experiment: str) -> None:
    run = Run(tmp_path, experiment)
    run.until(2, "ready")
    in_trial = sleep()
    assert run.process.poll() is None

    # What others see of it: it lives, and what it made and holds is its own.
    assert "running" in run.asks("status", run.path).stdout
    swept = run.asks("clean", "--dry-run", "e.yaml")
    assert "removed" not in swept.stdout + swept.stderr
    second = run.asks("run", "e.yaml", "--results", tmp_path / "second")
    assert second.returncode == 3
    assert f"(process {run.process.pid}, since " in second.stderr, second.stderr

    later = run.until(4, "pause")
    between = sleep()
    while len(run.done()) <= later:
        assert run.process.poll() is None
        time.sleep(0.1)
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(100) == 130
    resumed = run.asks("run", "--resume", run.path)
    assert resumed.returncode == 0, resumed.stderr

    done = run.done()
    assert [one["trial"] for one in done] == list(range(1, 10))
    assert {one["outcome"] for one in done} == {"measured"}
    told = {(one["trial"], of["code"]): of for one in done for of in one["findings"]}
    about_sleep = {of for of in told if of[1] in ("host.suspended", "host.woken", "host.clock-stepped")}
    assert about_sleep == {(2, "host.suspended"), (later, "host.woken")}
    assert abs(seconds_in(told[2, "host.suspended"]["what"]) - in_trial) < 0.2
    assert abs(seconds_in(told[later, "host.woken"]["what"]) - between) < 0.2
    assert abs(done[1]["noise"]["suspended_s"] - in_trial) < 0.1
    walls = [datetime.fromisoformat(one["wall"]).timestamp() for one in done]
    for n, asleep in ((2, in_trial), (later - 1, between)):
        took = done[n - 1]["noise"]["seconds"]
        assert took + asleep < walls[n] - walls[n - 1] < took + asleep + 8

    rows = list(csv.DictReader((run.path / "measurements.csv").open()))
    values = {(int(row["trial"]), row["quantity"]): float(row["value"]) for row in rows if row["value"]}
    for trial in range(1, 10):
        assert 4 < values[trial, "ready"] < 8
        assert values[trial, "gone"] < 6
    assert "suspended for" in (run.path / "report.md").read_text()
    assert run.asks("validate", run.path).returncode == 0


def test_a_deadline_counts_no_sleep_and_still_comes(tmp_path: Path) -> None:
    run = Run(tmp_path, STUCK)
    run.until(1, "ready")
    began = time.monotonic()
    asleep = sleep()
    assert run.process.wait(100) == 1
    first, second = run.done()
    for one in (first, second):
        assert (one["outcome"], one["failure"]["phase"]) == ("failed", "ready")
        assert one["failure"]["error"] == "DeadlineExceeded"
        assert 8 <= one["noise"]["seconds"] < 16
    assert time.monotonic() - began < 40
    codes = [[of["code"] for of in one["findings"]].count("host.suspended") for one in (first, second)]
    assert codes == [1, 0]
    assert abs(first["noise"]["suspended_s"] - asleep) < 0.1


def test_a_tool_that_times_by_the_wall_clock_is_named(tmp_path: Path) -> None:
    run = Run(tmp_path, TOOL)
    run.until(1, "observe")
    asleep = sleep()
    assert run.process.wait(100) == 0
    (one,) = run.done()
    got = {of["quantity"]: of["value"] for of in one["readings"]}
    (what,) = (of["what"] for of in one["findings"] if of["code"] == "host.suspended")
    assert got["wall"] < 8 < got["told"]
    assert "may be in what a tool timed by the wall clock" in what
    assert abs(seconds_in(what) - asleep) < 0.2


def seconds_in(what: str) -> float:
    found = re.search(r"suspended for ([0-9.]+) s", what)
    assert found is not None, what
    return float(found[1])
