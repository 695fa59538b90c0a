"""Whole runs of machines that exist already, on the fake backend: what is measured and said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.command import vmvc

RUN = """\
name: mine
guest: {{cpus: 2}}
backends:
  fake: {{}}
  mine:
    kind: fake
    options: {{state: {state}, log: {log}, machines: {{ubuntu-vm: {found}}}}}
    guest: {{machine: ubuntu-vm, attach: {attach}}}
metrics: {{startup: {{}}, shutdown: {{}}, density: {{instances: 2, settle: 0s, idle: 0s}}}}
trials: {{count: 1, warmup: 0, order: interleaved, timeout: 5s}}
"""


@pytest.fixture
def mine(tmp_path: Path, experiment: Callable[[str], Path]) -> Callable[..., Path]:
    def write(found: str = '"off"', attach: str = "false") -> Path:
        return experiment(
            RUN.format(state=tmp_path / "state", log=tmp_path / "calls", found=found, attach=attach)
        )

    return write


def trials_of(folder: Path, backend: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    (run,) = (folder / "results" / "mine").iterdir()
    lines = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    return [one for one in lines if one.get("condition") == backend], lines[0]["findings"]


def named(trial: dict[str, Any], part: str) -> dict[str, Any]:
    return {f"{one['metric']}.{one['quantity']}": one for one in trial[part]}


def test_a_machine_that_is_off_is_measured_like_any_other(mine: Callable[..., Path]) -> None:
    file = mine()
    done = vmvc("run", file, cwd=file.parent)
    assert done.code == 0, done.err
    (life, fleet), findings = trials_of(file.parent, "mine")
    assert {"startup.ready", "shutdown.gone"} <= named(life, "readings").keys()
    assert not fleet["readings"]
    assert all("copies" in one["reason"] for one in fleet["absent"])
    assert "guest.existing-machine" in [finding["code"] for finding in findings]
    assert "exists already" in done.err
    assert not list((file.parent / "state").glob("vmvc-*"))


def test_one_that_is_only_observed_has_no_start_and_no_stop(mine: Callable[..., Path]) -> None:
    file = mine("running", "true")
    done = vmvc("run", file, cwd=file.parent)
    assert done.code == 0, done.err
    (life, _), findings = trials_of(file.parent, "mine")
    assert life["outcome"] == "measured"
    assert life["events"].keys() <= {"console", "ready"}
    assert not life["readings"]
    assert {"startup.ready", "startup.started", "shutdown.gone"} <= named(life, "absent").keys()
    assert "attach" in named(life, "absent")["startup.ready"]["reason"]
    assert "guest.attached" in [finding["code"] for finding in findings]


def test_one_that_runs_is_refused_before_the_first_trial(mine: Callable[..., Path]) -> None:
    file = mine("running")
    done = vmvc("run", file, cwd=file.parent)
    assert done.code == 2
    assert "runs already" in done.err
    assert "attach: true" in done.err
    assert not (file.parent / "results").exists() or not list((file.parent / "results/mine").iterdir())


def test_the_plan_says_what_such_a_machine_is(mine: Callable[..., Path]) -> None:
    file = mine()
    done = vmvc("plan", file, cwd=file.parent)
    assert done.code == 0
    assert "warning: mine: the machine 'ubuntu-vm' exists already" in done.out
