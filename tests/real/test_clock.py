"""The wall clock set by hours in mid-run, as the run's processes see it: labels move, numbers do not."""

from __future__ import annotations

import json
import os
import subprocess
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.command import VMVC

EXPERIMENT = """\
name: clock
backends: {{fake: {{options: {{state: {state}, start: 100ms, ready: 400ms, stop: 100ms}}}}}}
metrics: [startup, shutdown]
trials: {{count: 4, warmup: 0, timeout: 5s, stop_timeout: 5s}}
"""
STEPS = {"forwards": timedelta(hours=5), "backwards": timedelta(hours=-5)}

pytestmark = [pytest.mark.real("gcc"), pytest.mark.timeout(120)]


def stepped(folder: Path) -> dict[str, str]:
    """Return an environment whose wall clock is off by what ``folder / offset`` says; no other clock is."""
    library = folder / "wall_clock.so"
    source = Path(__file__).with_name("wall_clock.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, source], check=True)
    return {**os.environ, "LD_PRELOAD": str(library), "WALL_CLOCK_OFFSET": str(folder / "offset")}


def step_of(folder: Path) -> tuple[int, str]:
    for status in folder.glob("results/clock/*/status.json"):
        try:
            now = json.loads(status.read_text())
            return now.get("trial", 0), now["step"]
        except (OSError, ValueError):
            pass
    return 0, ""


@pytest.mark.parametrize("by", STEPS.values(), ids=STEPS)
def test_a_clock_that_is_set_in_mid_run_moves_no_number(tmp_path: Path, by: timedelta) -> None:
    (tmp_path / "offset").write_text("0\n")
    (tmp_path / "clock.yaml").write_text(EXPERIMENT.format(state=tmp_path / "state"))
    environment = stepped(tmp_path)
    with subprocess.Popen(
        [VMVC, "run", "clock.yaml"], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    ) as running:
        deadline = time.monotonic() + 60
        while step_of(tmp_path) != (2, "ready"):
            assert running.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        (tmp_path / "offset").write_text(f"{by.total_seconds():.0f}\n")
        looked = subprocess.run(
            [VMVC, "clean", "--dry-run", "clock.yaml"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert running.stderr is not None
        err = running.stderr.read()
    assert running.returncode == 0, err
    assert "left alone, its run still lives" in looked.stdout
    assert "removed" not in err

    (run,) = tmp_path.glob("results/clock/*")
    trials = trials_of(run)
    assert [one["outcome"] for one in trials] == ["measured"] * 4
    flagged = [one["trial"] for one in trials if "host.clock-stepped" in codes_of(one)]
    assert flagged == [2]
    assert not any("host.suspended" in codes_of(one) for one in trials)
    walls = [datetime.fromisoformat(one["wall"]) for one in trials]
    assert abs(walls[2] - walls[1] - by) < timedelta(minutes=1)
    for one in trials:
        values = {reading["quantity"]: reading["value"] for reading in one["readings"]}
        assert 0.5 <= values["ready"] < 5
        assert 0.1 <= values["gone"] < 5
    said = subprocess.run([VMVC, "validate", run], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr


def trials_of(run: Path) -> list[dict[str, Any]]:
    lines = map(json.loads, (run / "journal.jsonl").read_text().splitlines())
    return [line for line in lines if line["record"] == "trial"]


def codes_of(trial: dict[str, Any]) -> set[str]:
    return {one["code"] for one in trial["findings"]}
