"""CPU seconds of processes: against processes that burn a known time, and psutil."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from vmvc import cputimes
from vmvc.errors import Unavailable

BURN = """
import sys, threading, time
def burn():
    while time.thread_time() < 0.15: pass
threads = [threading.Thread(target=burn) for _ in range(2)]
print('up', flush=True)
sys.stdin.readline()
for one in threads: one.start()
for one in threads: one.join()
while time.thread_time() < 0.1: pass
print('done', flush=True)
sys.stdin.readline()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows threads of others")
def test_what_a_process_burns_is_counted_over_its_living_threads() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        before = cputimes.look([process.pid])
        process.stdin.write("go\n")
        process.stdin.flush()
        process.stdout.readline()
        after = cputimes.look([process.pid])
        told = psutil.Process(process.pid).cpu_times()
        process.stdin.close()
    alone = cputimes.used(before, after)
    assert alone == pytest.approx(0.1 - before[process.pid, process.pid], abs=0.03), "two threads have ended"
    assert told.user + told.system >= 0.35


def test_a_thread_that_is_new_has_used_all_of_its_time_since() -> None:
    assert cputimes.used({(1, 1): 5.0}, {(1, 1): 5.5, (1, 2): 0.25}) == 0.75


def test_one_that_ended_takes_nothing_back() -> None:
    assert cputimes.used({(1, 1): 5.0, (1, 2): 9.0}, {(1, 1): 5.5}) == 0.5


def test_a_process_that_has_ended_counts_for_nothing() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert cputimes.look([ended.pid]) == {}


def test_without_schedstat_ticks_are_read(tmp_path: Path) -> None:
    found = cputimes.look([os.getpid()], tmp_path)
    assert found[os.getpid(), os.getpid()] == pytest.approx(time.process_time(), abs=0.2)


def test_processes_of_others_are_absent_and_not_idle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: psutil.Process) -> None:
        raise psutil.AccessDenied(self.pid)

    monkeypatch.setattr(psutil.Process, "cpu_times", refuse)
    with pytest.raises(Unavailable, match="another user's process"):
        cputimes.look([os.getpid()], tmp_path)
