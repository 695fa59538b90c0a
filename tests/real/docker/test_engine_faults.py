"""A Docker Engine that hangs, dies and comes back in the middle of a run: what is told, and what is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import VMVC, vmvc
from tests.real.docker.engine import Engine

EXPERIMENT = """\
name: faults
guest: {memory: 64MiB, command: [sh, -c, echo here; exec sleep 60], ready: {console: {pattern: here}}}
backends: {docker: {options: {network: none}}}
metrics: [startup]
trials: {count: 4, warmup: 0, timeout: 3s, stop_timeout: 1s}
"""

pytestmark = [
    pytest.mark.real("docker", "root"),
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("own engine"),
]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """Give one engine to all tests here; the path of its socket must be short."""
    with tempfile.TemporaryDirectory(prefix="vmvc-engine-", ignore_cleanup_errors=True) as folder:
        one = Engine(Path(folder))
        try:
            one.start()
            yield one
        finally:
            one.end()


def begin(folder: Path, engine: Engine, trials: int) -> subprocess.Popen[str]:
    """Start a run on the engine; return when so many trials are over."""
    (folder / "faults.yaml").write_text(EXPERIMENT)
    environment = {**os.environ, "DOCKER_HOST": engine.host}
    running = subprocess.Popen(
        [VMVC, "run", "faults.yaml"], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
    )
    assert running.stderr is not None
    said = []
    for line in running.stderr:
        said.append(line)
        if line.startswith(f"{trials}/4"):
            return running
    raise AssertionError("".join(said))


def trials_of(folder: Path) -> list[dict[str, object]]:
    (run,) = folder.glob("results/faults/*")
    lines = map(json.loads, (run / "journal.jsonl").read_text().splitlines())
    return [line for line in lines if line["record"] == "trial"]


def test_an_engine_that_hangs_costs_the_trials_of_that_time(tmp_path: Path, engine: Engine) -> None:
    running = begin(tmp_path, engine, 1)
    engine.signal(signal.SIGSTOP)
    time.sleep(5)
    engine.signal(signal.SIGCONT)
    _, err = running.communicate(timeout=200)
    assert running.returncode == 1, err
    trials = trials_of(tmp_path)
    assert [one["trial"] for one in trials] == [1, 2, 3, 4]
    assert [one["outcome"] for one in trials] == ["measured", "failed", "measured", "measured"]
    assert engine.containers() == []


def test_an_engine_that_dies_stops_the_run_which_can_be_taken_up(tmp_path: Path, engine: Engine) -> None:
    running = begin(tmp_path, engine, 1)
    engine.signal(signal.SIGKILL)
    _, err = running.communicate(timeout=200)
    assert running.returncode == 3, err
    assert "vmvc run --resume" in err
    (run,) = tmp_path.glob("results/faults/*")
    environment = {**os.environ, "DOCKER_HOST": engine.host}
    said = vmvc("run", "--resume", run, cwd=tmp_path, env=environment)
    assert (said.code, "hint:" in said.err) == (3, True), said.err
    engine.start()
    said = vmvc("run", "--resume", run, cwd=tmp_path, env=environment)
    assert said.code == 1, said.err
    assert sorted(str(one["trial"]) for one in trials_of(tmp_path)) == ["1", "2", "3", "4"]
    assert [one["outcome"] for one in trials_of(tmp_path)].count("measured") >= 3
    assert engine.containers() == []
