"""VirtualBox's daemon killed and hung, and the clock set, while a run is under way; to be run in the lab."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil

from tests.real.lab import machine_virtualbox
from tests.real.lab.clock import HOURS, clock_set_by
from tests.real.lab.command import trials, vmvc
from tests.real.lab.contract_virtualbox import manage
from vmvc.backends.virtualbox_manage import PATIENCE

EXPERIMENT = """\
name: faults
guest: {machine: %s, ready: {console: {pattern: boot sector speaks}}}
backends: [virtualbox]
metrics: {startup: {}, memory: {settle: 20s}}
trials: {count: 3, warmup: 0, timeout: 3m, stop_timeout: 10s, pause: 15s}
"""
"""The pauses give time to do harm between two trials, the settling in the middle of one."""

Found = TypeVar("Found")


def test_a_daemon_that_dies_or_hangs_costs_the_trial_in_hand_only(tmp_path: Path) -> None:
    """And a clock that is set costs the third trial nothing."""
    with machine_virtualbox.TestVirtualBoxMachine().off() as guest:
        (tmp_path / "faults.yaml").write_text(EXPERIMENT % json.dumps(guest.machine))
        with subprocess.Popen(
            vmvc("run", "faults.yaml", "--results", tmp_path / "results"),
            cwd=tmp_path,
        ) as running:
            _until(lambda: _console(tmp_path, 1))
            _daemon().kill()
            _until(lambda: trials(tmp_path)[:1])
            hung = _daemon()
            hung.send_signal(signal.SIGSTOP)
            before = time.monotonic()
            try:
                _until(lambda: trials(tmp_path)[1:])
                took = time.monotonic() - before
            finally:
                hung.send_signal(signal.SIGCONT)
            _until(lambda: _console(tmp_path, 3))
            with clock_set_by(5 * HOURS):
                assert running.wait(600) == 1
    first, second, third = trials(tmp_path)
    assert [str(one["outcome"]) for one in (first, second, third)] == ["failed", "failed", "measured"]
    assert first["failure"]["phase"] == "observe", first["failure"]
    assert "ended" in first["failure"]["reason"], first["failure"]
    assert second["failure"]["phase"] == "create", second["failure"]
    assert f"VBoxManage did not list its machines within {PATIENCE:g} s" in second["failure"]["reason"]
    assert "VBoxSVC" in second["failure"]["reason"] + second["failure"].get("hint", "")
    assert took < 15 + PATIENCE + 20, "the deadline did not hold"
    assert [one["code"] for one in third["findings"]].count("host.clock-stepped") == 1
    assert manage("list", "vms") == ""


def _console(folder: Path, trial: int) -> list[Path]:
    """Return the console's log of a trial as soon as there is something in it."""
    return [one for one in folder.rglob(f"trial-{trial}.console") if one.stat().st_size]


def _daemon() -> psutil.Process:
    def there() -> list[psutil.Process]:
        return [one for one in psutil.process_iter(["name"]) if one.info["name"] == "VBoxSVC"]

    return _until(there)[0]


def _until(there: Callable[[], list[Found]]) -> list[Found]:
    limit = time.monotonic() + 300
    while not (found := there()):
        assert time.monotonic() < limit, "it does not come"
        time.sleep(0.2)
    return found
