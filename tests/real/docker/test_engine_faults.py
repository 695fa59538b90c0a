"""A Docker Engine that hangs, dies and comes back in the middle of a run: what is told, and what is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.command import VMVC, vmvc
from tests.real.docker.engine import Engine

EXPERIMENT = """\
name: faults
guest: {memory: 64MiB, command: [sh, -c, echo here; exec sleep 60], ready: {console: {pattern: here}}}
backends: {docker: {options: {network: none}}}
metrics: [startup]
trials: {count: 4, warmup: 0, timeout: 3s, stop_timeout: 1s, pause: 500ms}
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


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Give one whose store has little room."""
    with tempfile.TemporaryDirectory(prefix="vmvc-engine-", ignore_cleanup_errors=True) as folder:
        one = Engine(Path(folder))
        room = Path(folder) / "data"
        room.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", room], check=True)
        try:
            one.start()
            yield Store(one, room / "filler")
        finally:
            one.end()


@dataclass(frozen=True)
class Store:
    """The store of an engine, which is full or has room."""

    engine: Engine
    filler: Path

    def fill(self) -> None:
        with self.filler.open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))

    def empty(self) -> None:
        self.filler.unlink()


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
    time.sleep(9)  # Longer than any step and the grace after it.
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


def test_a_full_image_store_costs_the_run_and_no_image(tmp_path: Path, store: Store) -> None:
    (tmp_path / "faults.yaml").write_text(EXPERIMENT.replace("count: 4", "count: 1"))
    environment = {**os.environ, "DOCKER_HOST": store.engine.host}
    store.fill()
    for _ in range(2):
        full = vmvc("run", "faults.yaml", cwd=tmp_path, env=environment)
        assert full.code == 3, full.err
        assert "no space left on device" in full.err
        assert "docker system df" in full.err
    store.empty()
    again = vmvc("run", "faults.yaml", cwd=tmp_path, env=environment)
    assert again.code == 0, again.err


def test_a_store_that_fills_up_costs_the_trials_of_that_time(tmp_path: Path, store: Store) -> None:
    running = begin(tmp_path, store.engine, 1)
    over = threading.Event()

    def keep_full() -> None:
        while not over.wait(0.01):  # What ends gives room for a little.
            store.fill()

    filling = threading.Thread(target=keep_full)
    filling.start()
    assert running.stderr is not None
    for line in running.stderr:
        if line.startswith("3/4"):
            break
    over.set()
    filling.join()
    store.empty()
    _, err = running.communicate(timeout=200)
    assert running.returncode == 1, err
    trials = trials_of(tmp_path)
    assert [one["outcome"] for one in trials] == ["measured", "failed", "failed", "measured"]
    assert "no space left on device" in str(trials[2]["failure"])
    assert store.engine.containers() == []
