"""The wall clock is set by hours in the middle of a run; to be run in the lab, whose clock is its own."""

from __future__ import annotations

import csv
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.real.lab.command import trials, vmvc

EXPERIMENT = """\
name: clock
guest: {ready: {http: {port: 80, interval: 50ms}}}
backends:
  fake: {options: {start: 300ms, ready: 2s, stop: 300ms}}
metrics: [startup, shutdown]
trials: {count: 4, warmup: 0, timeout: 60s}
"""
HOURS = 3600.0


@contextmanager
def clock_set_by(seconds: float) -> Iterator[None]:
    time.clock_settime(time.CLOCK_REALTIME, time.time() + seconds)
    try:
        yield
    finally:
        time.clock_settime(time.CLOCK_REALTIME, time.time() - seconds)


@pytest.mark.parametrize("step", [7 * HOURS, -7 * HOURS])
def test_a_run_does_not_notice_that_the_clock_is_set(tmp_path: Path, step: float) -> None:
    (tmp_path / "clock.yaml").write_text(EXPERIMENT)
    results = tmp_path / "results"
    began = time.monotonic()
    with subprocess.Popen(vmvc("run", "clock.yaml", "--results", results), cwd=tmp_path) as running:
        while len(trials(results)) < 2:
            assert running.poll() is None
            assert time.monotonic() - began < 200
            time.sleep(0.1)
        time.sleep(1.0)  # in the middle of the third trial
        with clock_set_by(step):
            assert running.wait(300) == 0
    done = trials(results)
    assert [(one["trial"], one["outcome"]) for one in done] == [(n, "measured") for n in range(1, 5)]
    told = [finding for one in done for finding in one["findings"] if finding["code"] == "host.clock-stepped"]
    assert len(told) == 1, told
    (run,) = results.glob("clock/*")
    with (run / "measurements.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["quantity"] in ("ready", "total") and row["value"]]
    assert len(rows) >= 4
    for row in rows:
        assert 0 < float(row["value"]) < 30, row
    assert subprocess.run(vmvc("validate", run), check=False).returncode == 0
