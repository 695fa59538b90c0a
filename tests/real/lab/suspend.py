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

import psutil
import pytest

from tests.real.lab import machine_virtualbox
from tests.real.lab.command import trials, vmvc
from vmvc import lock, status
from vmvc.errors import EngineError

HOSTS = """\
name: suspend
guest: {image: tiny, cpus: 1, memory: 64MiB, %s}
backends: {%s}
metrics: {%s}
trials: {count: 7, warmup: 0, timeout: 12s, stop_timeout: 12s, pause: 4s}
"""
FAKE = HOSTS % (
    "ready: {http: {port: 80}}",
    "fake: {options: {state: state, ready: 4s, stop: 500ms}}",
    "startup: {}, shutdown: {}",
)
SERVES = "sleep 4; exec httpd -f -p 8095 -h /www"
TIMES = "a=$(date +%s); sleep 9; b=$(date +%s); echo $((b - a))"
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
trials: {{count: 1, warmup: 0, timeout: 30s}}
"""
STUCK = """\
name: stuck
backends: {fake: {options: {state: state, ready: 1h}}}
metrics: [startup]
trials: {count: 2, warmup: 0, timeout: 8s}
"""
VIRTUALBOX = """\
name: virtualbox
guest: {machine: %s, ready: {console: {pattern: boot sector speaks}}}
backends: [virtualbox]
metrics: {startup: {}, memory: {settle: 20s}}
trials: {count: 2, warmup: 0, timeout: 3m, stop_timeout: 10s}
"""
ASLEEP = 16
"""Seconds from the order to sleep until the clock wakes the host; it sleeps longer than a step may take."""
ALARM = Path("/sys/class/rtc/rtc0/wakealarm")
BRIDGE, PMBASE = Path("/sys/bus/pci/devices/0000:00:1f.0/config"), slice(0x40, 0x48)
"""Where the chipset is told its ports of power management, which the lab's firmware does not do on waking."""


def slept() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


def sleep() -> float:
    """Send this host to sleep (S3), let its clock wake it, and return for how long it slept."""
    before, ports = slept(), BRIDGE.read_bytes()[PMBASE]
    ALARM.write_text("0")
    ALARM.write_text(f"+{ASLEEP}")
    Path("/sys/power/state").write_text("mem")
    with BRIDGE.open("r+b", buffering=0) as bridge:
        bridge.seek(PMBASE.start)
        bridge.write(ports)
    asleep = slept() - before
    assert asleep > 12, "this host did not sleep"
    return asleep


class Run:
    """A run that goes on in a folder, until the block ends."""

    def __init__(self, folder: Path, experiment: str) -> None:
        (folder / "e.yaml").write_text(experiment)
        self.folder = folder
        self.process = subprocess.Popen(
            vmvc("run", "e.yaml", "--plain"), cwd=folder, stdout=subprocess.DEVNULL
        )

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *error: object) -> None:
        with self.process:
            self.process.terminate()

    def until(self, trial: int, step: str) -> int:
        """Wait until it does that, in that trial or a later one, and return which."""
        limit = time.monotonic() + 200
        while (now := self.now()) is None or now["step"] != step or now.get("trial", 0) < trial:
            assert self.process.poll() is None
            assert time.monotonic() < limit, now
            time.sleep(0.05)
        time.sleep(0.2)
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
    with Run(tmp_path, experiment) as run:
        run.until(2, "ready")
        in_trial = sleep()
        assert run.process.poll() is None

        later = run.until(4, "pause")
        between = sleep()

        # What others see of it: it lives, and the lock is held.
        assert status.read(run.path).state == "running"
        holder = rf"\(process {run.process.pid}, since "
        with pytest.raises(EngineError, match=holder), lock.measuring(wait=False):
            pass

        while len(run.done()) <= later:
            assert run.process.poll() is None
            time.sleep(0.1)
        run.process.send_signal(signal.SIGINT)
        assert run.process.wait(300) == 130
        resumed = run.asks("run", "--resume", run.path)
        assert resumed.returncode == 0, resumed.stderr

        done = run.done()
        assert [one["trial"] for one in done] == list(range(1, 8))
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
            assert took + asleep < walls[n] - walls[n - 1] < took + asleep + 14

        rows = list(csv.DictReader((run.path / "measurements.csv").read_text().splitlines()))
        values = {(int(row["trial"]), row["quantity"]): float(row["value"]) for row in rows if row["value"]}
        for trial in range(1, 8):
            assert 4 < values[trial, "ready"] < 12, values
            assert values[trial, "gone"] < 6, values
        assert "suspended for" in (run.path / "report.md").read_text()
        assert run.asks("validate", run.path).returncode == 0


def test_a_deadline_counts_no_sleep_and_still_comes(tmp_path: Path) -> None:
    with Run(tmp_path, STUCK) as run:
        run.until(1, "ready")
        asleep = sleep()
        assert run.process.wait(300) == 1
        first, second = run.done()
        for one in (first, second):
            assert (one["outcome"], one["failure"]["phase"]) == ("failed", "ready")
            assert one["failure"]["error"] == "DeadlineExceeded"
            assert 8 <= one["noise"]["seconds"] < 16
        codes = [[of["code"] for of in one["findings"]].count("host.suspended") for one in (first, second)]
        assert codes == [1, 0]
        assert abs(first["noise"]["suspended_s"] - asleep) < 0.1


def test_a_tool_that_times_by_the_wall_clock_is_named(tmp_path: Path) -> None:
    with Run(tmp_path, TOOL) as run:
        run.until(1, "observe")
        while ["sleep", "9"] not in [one.info["cmdline"] for one in psutil.process_iter(["cmdline"])]:
            assert run.process.poll() is None
        asleep = sleep()
        assert run.process.wait(300) == 0
        (one,) = run.done()
        got = {of["quantity"]: of["value"] for of in one["readings"]}
        (what,) = (of["what"] for of in one["findings"] if of["code"] == "host.suspended")
        assert got["wall"] < 18 < got["told"]
        assert "may be in what a tool timed by the wall clock" in what
        assert abs(seconds_in(what) - asleep) < 0.2


def test_a_machine_of_virtualbox_outlives_it(tmp_path: Path) -> None:
    machine = machine_virtualbox.TestVirtualBoxMachine()
    with machine.off() as guest, Run(tmp_path, VIRTUALBOX % json.dumps(guest.machine)) as run:
        run.until(1, "observe")
        asleep = sleep()
        assert run.process.wait(600) == 0
        first, second = run.done()
    assert [one["outcome"] for one in (first, second)] == ["measured"] * 2
    codes = [[of["code"] for of in one["findings"]].count("host.suspended") for one in (first, second)]
    assert codes == [1, 0]
    assert abs(first["noise"]["suspended_s"] - asleep) < 0.1


def seconds_in(what: str) -> float:
    found = re.search(r"suspended for ([0-9.]+) s", what)
    assert found is not None, what
    return float(found[1])
