"""libvirt's daemon killed, restarted and hung in the middle of trials: what is told, and what is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.command import VMVC
from tests.real.own_libvirtd import OwnLibvirtd

EXPERIMENT = """\
name: faults
guest: {memory: 192MiB}
backends: [libvirt]
metrics: [startup]
trials: {count: 4, warmup: 0, timeout: 25s, stop_timeout: 5s}
"""

pytestmark = [
    pytest.mark.real("libvirtd", "root"),
    pytest.mark.timeout(580),
    pytest.mark.xdist_group("own engine"),
]


@pytest.fixture
def daemon() -> Iterator[OwnLibvirtd]:
    one = OwnLibvirtd()
    try:
        yield one
    finally:
        one.signal(signal.SIGCONT)
        one.stop()


class Run:
    """A run beside the daemon, from ``vmvc run`` to its end."""

    def __init__(self, folder: Path, daemon: OwnLibvirtd, *more: str) -> None:
        self.folder = folder
        self._daemon = daemon
        (folder / "faults.yaml").write_text(EXPERIMENT)
        self._begin("faults.yaml", *more)

    def _begin(self, *arguments: str) -> None:
        self._running = subprocess.Popen(
            [*self._daemon.inside(self.folder), VMVC, "run", *arguments],
            env=os.environ,
            stderr=subprocess.PIPE,
            text=True,
        )

    def resume(self) -> None:
        self._begin("--resume", str(self.run))

    def interrupt(self) -> None:
        self._running.send_signal(signal.SIGINT)

    @property
    def run(self) -> Path:
        (run,) = self.folder.glob("results/faults/*")
        return run

    def until(self, trial: int, step: str) -> None:
        """Wait until the run is at a step of a trial."""
        deadline = time.monotonic() + 200
        while True:
            assert self._running.poll() is None, self.end()
            assert time.monotonic() < deadline
            for status in self.folder.glob("results/faults/*/status.json"):
                try:
                    now = json.loads(status.read_text())
                except (OSError, ValueError):
                    continue
                if (now.get("trial"), now["step"]) == (trial, step):
                    return
            time.sleep(0.01)

    def end(self) -> tuple[int, str]:
        _, err = self._running.communicate(timeout=300)
        assert "Traceback" not in err, err
        return self._running.returncode, err

    def trials(self) -> list[dict[str, Any]]:
        lines = map(json.loads, (self.run / "journal.jsonl").read_text().splitlines())
        return [line for line in lines if line["record"] == "trial"]

    def left(self) -> list[str]:
        """Return QEMU's processes of this run."""
        words = (" ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"]))
        return [one for one in words if "qemu-system" in one and self.run.name in one]

    def driver(self) -> str:
        about = json.loads((self.run / "run.json").read_text())
        return str(about["backends"]["libvirt"]["facts"]["uri"])


def test_a_daemon_that_hangs_costs_the_trials_of_that_time(tmp_path: Path, daemon: OwnLibvirtd) -> None:
    run = Run(tmp_path, daemon)
    run.until(2, "ready")
    daemon.signal(signal.SIGSTOP)
    time.sleep(36)  # Longer than the step and the grace after it: its process was ended, another one waits.
    daemon.signal(signal.SIGCONT)
    code, err = run.end()
    assert run.driver() == "qemu:///system"
    assert [one["trial"] for one in run.trials()] == [1, 2, 3, 4]
    assert [one["outcome"] for one in run.trials()] == ["measured", "failed", "measured", "measured"], err
    failure = run.trials()[1]["failure"]
    # A guest that is quick gets ready without the daemon, which then hangs under the stop.
    assert failure["phase"] in ("ready", "stop")
    assert failure["error"] == "DeadlineExceeded"
    assert failure["reason"] == f"{failure['phase']} did not return in time; its process was ended"
    assert code == 1, err
    assert run.left() == []


def test_a_daemon_that_is_restarted_costs_one_trial(tmp_path: Path, daemon: OwnLibvirtd) -> None:
    run = Run(tmp_path, daemon)
    run.until(2, "ready")
    daemon.kill()
    daemon.start()
    code, err = run.end()
    assert [one["trial"] for one in run.trials()] == [1, 2, 3, 4]
    assert [one["outcome"] for one in run.trials()].count("measured") >= 3, err
    for one in run.trials():
        if one["outcome"] == "failed":
            assert one["trial"] == 2
            assert "libvirt cannot" in one["failure"]["reason"]
    assert code in (0, 1), err
    assert run.left() == []


def test_a_daemon_that_dies_stops_the_run_which_can_be_taken_up(tmp_path: Path, daemon: OwnLibvirtd) -> None:
    run = Run(tmp_path, daemon)
    run.until(2, "ready")
    daemon.kill()
    code, err = run.end()
    assert code == 3, err
    assert "vmvc run --resume" in err
    assert [one["trial"] for one in run.trials()] == [1, 2]
    assert len(run.left()) == 1
    run.resume()
    code, err = run.end()
    assert (code, "hint:" in err) == (3, True), err
    assert len(run.trials()) == 2
    daemon.start()
    run.resume()
    code, err = run.end()
    assert code in (0, 1), err
    assert [one["trial"] for one in run.trials()] == [1, 2, 3, 4]
    assert [one["outcome"] for one in run.trials()].count("measured") >= 3
    assert run.left() == []


def test_a_run_goes_on_with_the_driver_that_it_was_begun_with(tmp_path: Path, daemon: OwnLibvirtd) -> None:
    """Without a daemon ``auto`` is the embedded driver: other numbers, of which the run would say nothing."""
    run = Run(tmp_path, daemon)
    run.until(1, "ready")
    run.interrupt()
    code, err = run.end()
    assert code == 130, err
    assert run.left() == []
    daemon.kill()
    run.resume()
    code, err = run.end()
    assert code == 3, err
    assert "cannot be reached at qemu:///system" in err
    assert run.trials() == []
    daemon.start()
