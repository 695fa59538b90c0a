"""Whole runs with a fleet on the fake backend: stopped, killed, resumed, and never a member left."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.command import VMVC, vmvc

FLEET = """\
name: fleet
backends:
  fake: {{options: {{state: {state}, log: {log}, {options}}}}}
metrics:
  startup: {{}}
  density: {{instances: {instances}, concurrency: 3, settle: 0s, idle: 0s}}
trials: {{count: 1, warmup: 0, order: interleaved, timeout: 5s, stop_timeout: 2s}}
"""


@pytest.fixture
def fleet(tmp_path: Path, experiment: Callable[[str], Path]) -> Callable[..., Path]:
    """Write an experiment whose second trial is a fleet."""

    def write(options: str = "ready: 1ms", instances: int = 8) -> Path:
        state, log = tmp_path / "state", tmp_path / "calls"
        return experiment(FLEET.format(state=state, log=log, options=options, instances=instances))

    return write


def run_of(folder: Path) -> Path:
    (one,) = (folder / "results" / "fleet").iterdir()
    return one


def trials_in(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    return [line for line in lines if line["record"] == "trial"]


def instances(folder: Path) -> list[str]:
    return [entry.name for entry in (folder / "state").glob("vmvc-*")]


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.005)


def test_a_fleet_has_a_trial_of_its_own_and_a_file_that_can_be_made_again(
    tmp_path: Path, fleet: Callable[..., Path]
) -> None:
    said = vmvc("run", fleet(), cwd=tmp_path)
    assert said.code == 0, said.err
    run = run_of(tmp_path)
    first, second = trials_in(run)
    assert (first["metrics"], second["metrics"]) == (["startup"], ["density"])
    assert not instances(tmp_path)
    series = run / "series-density.csv"
    before = series.read_bytes()
    with series.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["instance"] for row in rows] == [str(number) for number in range(1, 9)]
    assert [row["instance"] for row in rows if row["available"]] == ["1", "4", "7", "8"]
    assert {(row["trial"], row["backend"], row["warmup"]) for row in rows} == {("2", "fake", "false")}
    series.unlink()
    assert vmvc("show", "--rebuild", run, cwd=tmp_path).code == 0
    assert series.read_bytes() == before
    assert vmvc("validate", run, cwd=tmp_path).code == 0
    findings = json.loads((run / "summary.json").read_text())["findings"]
    assert "density.stopped" in {one["code"] for one in findings}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_fleet_that_is_ended_in_the_middle_leaves_nothing_and_can_be_resumed(
    tmp_path: Path, fleet: Callable[..., Path], number: signal.Signals
) -> None:
    path = fleet("create: 50ms, ready: 100ms", instances=16)
    with subprocess.Popen([VMVC, "run", path], cwd=tmp_path, stderr=subprocess.PIPE, text=True) as running:
        until(lambda: (tmp_path / "state").exists() and len(instances(tmp_path)) >= 6)
        running.send_signal(number)
        assert running.stderr is not None
        running.stderr.read()
        assert running.wait() in (130, -signal.SIGKILL)
    until(lambda: not instances(tmp_path))
    run = run_of(tmp_path)
    assert [one["trial"] for one in trials_in(run)] == [1]
    if number is signal.SIGINT:
        said = vmvc("run", "--resume", run, cwd=tmp_path)
        assert said.code == 0, said.err
        assert [one["trial"] for one in trials_in(run)] == [1, 2]
        assert not instances(tmp_path)


def test_what_remains_when_all_are_killed_is_swept(tmp_path: Path, fleet: Callable[..., Path]) -> None:
    path = fleet("ready: 200ms", instances=40)
    with subprocess.Popen([VMVC, "run", path, "--quiet"], cwd=tmp_path) as running:
        until(lambda: (tmp_path / "state").exists() and len(instances(tmp_path)) >= 6)
        family = [*psutil.Process(running.pid).children(recursive=True), psutil.Process(running.pid)]
        for one in family:
            one.suspend()
        for one in family:
            one.kill()
        running.wait()
    left = instances(tmp_path)
    assert len(left) >= 6
    said = vmvc("clean", path, cwd=tmp_path)
    assert said.code == 0
    assert said.out.count("removed, its run is dead") == len(left)
    assert not instances(tmp_path)


def test_a_worker_that_ends_in_the_middle_is_a_failed_trial_and_nothing_is_left(
    tmp_path: Path, fleet: Callable[..., Path]
) -> None:
    said = vmvc("run", fleet("create: 100ms, crash: start, fault_members: [5]"), cwd=tmp_path)
    assert said.code == 1, said.err
    (failure,) = [one["failure"] for one in trials_in(run_of(tmp_path)) if "failure" in one]
    assert failure["phase"] in ("create", "start", "ready"), "the most urgent step of its burst"
    assert not instances(tmp_path)


def test_a_member_that_cannot_be_removed_stops_the_run(tmp_path: Path, fleet: Callable[..., Path]) -> None:
    """The first removal fails at the end of the trial, the others by name, though the engine answers."""
    said = vmvc("run", fleet("destroy_fails: 3, fault_members: [4]"), cwd=tmp_path)
    assert said.code == 3
    assert "-m4 could not be removed" in said.err
    (left,) = instances(tmp_path)
    assert left.endswith("-2-m4")
    assert "cleanup.failed" in {one["code"] for one in trials_in(run_of(tmp_path))[1]["findings"]}


def test_a_plan_knows_that_a_fleet_takes_longer(tmp_path: Path, fleet: Callable[..., Path]) -> None:
    def seconds(instances: int, idle: str = "0s") -> float:
        path = fleet(instances=instances)
        path.write_text(path.read_text().replace("idle: 0s", f"idle: {idle}"))
        head = json.loads(vmvc("plan", path, "--json", cwd=tmp_path).out.splitlines()[0])
        return float(head["estimated_seconds"])

    assert seconds(31) - seconds(4) == pytest.approx(9 * 0.3, abs=0.15)
    assert seconds(4, "20s") - seconds(4) == pytest.approx(20, abs=0.15)
