"""The child process: what it raises arrives, what blocks ends with it, and it never outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from vmvc import worker as module
from vmvc.backends.fake import FakeBackend
from vmvc.backends.fake_options import FakeOptions
from vmvc.contract import Guest, Tag
from vmvc.errors import DeadlineExceeded, ImageError, Interrupted
from vmvc.job import Job, Outcome
from vmvc.spec import BUILT_IN_IMAGES, Http, ReadyHttp
from vmvc.worker import Worker, WorkerDied

GUEST = Guest(image=BUILT_IN_IMAGES["tiny"], cpus=1, memory=2**20, ready=ReadyHttp(http=Http(port=80)))
TAG = Tag("r", 1, "h:1:1")


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    made = Worker(tmp_path / "worker.log")
    yield made
    made.kill()


def backend(folder: Path, **options: object) -> FakeBackend:
    return FakeBackend("fake", FakeOptions.model_validate({"state": str(folder / "state"), **options}))


def job(used: FakeBackend, timeout: float = 20.0) -> Job:
    return Job(TAG, used, GUEST, (), timeout, 5.0)


def child(of: Worker) -> psutil.Process:
    assert of._process is not None
    return psutil.Process(of._process.pid)


def test_a_trial_runs_in_another_process_and_comes_back(worker: Worker, tmp_path: Path) -> None:
    outcome = worker.call("trial", job(backend(tmp_path)), timeout=20)
    assert isinstance(outcome, Outcome)
    assert outcome.failure is None
    assert outcome.events["ready"].at > outcome.events["started"].at
    assert child(worker).pid != os.getpid()


def test_both_processes_see_one_clock(worker: Worker, tmp_path: Path) -> None:
    before = time.monotonic_ns()
    outcome = worker.call("trial", job(backend(tmp_path)), timeout=20)
    assert before < outcome.events["requested"].at < time.monotonic_ns()


def test_the_same_child_serves_every_request(worker: Worker, tmp_path: Path) -> None:
    worker.call("check", backend(tmp_path), timeout=20)
    first = child(worker).pid
    worker.call("describe", backend(tmp_path), timeout=20)
    assert child(worker).pid == first


def test_what_the_child_raises_arrives_whole(worker: Worker, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such thing") as raised:
        worker.call("prepare", backend(tmp_path, fail={"prepare": "no such thing"}), GUEST, timeout=20)
    assert raised.value.hint


@pytest.mark.parametrize("step", ["create", "start", "stop"])
def test_a_call_that_blocks_ends_with_its_process(
    worker: Worker, tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE", 0.2)
    used = backend(tmp_path, hang=step)
    worker.call("check", used, timeout=20)
    blocked = child(worker)
    hanging = Job(TAG, used, GUEST, (), 0.3, 0.3)
    with pytest.raises(DeadlineExceeded, match=step):
        worker.call("trial", hanging, timeout=20)
    assert not blocked.is_running()
    worker.call("destroy", backend(tmp_path), TAG, GUEST, timeout=20)
    assert not backend(tmp_path).leftovers()


def test_a_crash_names_its_step_and_the_next_call_gets_a_fresh_child(worker: Worker, tmp_path: Path) -> None:
    with pytest.raises(WorkerDied, match="during start") as raised:
        worker.call("trial", job(backend(tmp_path, crash="start")), timeout=20)
    assert raised.value.step == "start"
    assert "worker.log" in raised.value.hint
    assert worker.call("check", backend(tmp_path), timeout=20) == ()


def test_a_kill_is_named_by_its_signal(worker: Worker, tmp_path: Path) -> None:
    def shoot() -> None:
        if worker.step.name == "ready":
            child(worker).kill()

    with pytest.raises(WorkerDied, match="signal SIGKILL during ready"):
        worker.call("trial", job(backend(tmp_path, ready=30.0)), timeout=20, tick=shoot)


def test_an_interrupt_removes_the_instance_first(worker: Worker, tmp_path: Path) -> None:
    sent: list[bool] = []

    def once() -> None:
        if worker.step.name == "ready" and not sent:
            sent.append(True)
            worker.interrupt()

    used = backend(tmp_path, ready=30.0)
    with pytest.raises(Interrupted):
        worker.call("trial", job(used), timeout=20, tick=once)
    assert not used.leftovers()


def test_a_close_in_the_middle_lets_the_child_clean_up(worker: Worker, tmp_path: Path) -> None:
    used = backend(tmp_path, ready=30.0)

    def leave() -> None:
        if worker.step.name == "ready":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        worker.call("trial", job(used), timeout=20, tick=leave)
    begun = time.monotonic()
    worker.close()
    assert time.monotonic() - begun < 4
    assert not used.leftovers()


PARENT = """
import sys
from pathlib import Path
from tests.test_worker import TAG, backend, job
from vmvc.worker import Worker
folder = Path(sys.argv[1])
worker = Worker(folder / "worker.log")
worker.call("check", backend(folder), timeout=20)
print(worker._process.pid, flush=True)
worker.call("trial", job(backend(folder, ready=60.0), timeout=60.0), timeout=20)
"""


def test_a_child_whose_parent_is_killed_cleans_up_and_ends(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        orphan = psutil.Process(int(parent.stdout.readline()))
        state = backend(tmp_path)
        _until(lambda: bool(state.leftovers()))
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    _until(lambda: not orphan.is_running())
    assert not state.leftovers()


def _until(condition: object, seconds: float = 20.0) -> None:
    assert callable(condition)
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.01)
