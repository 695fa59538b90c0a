"""Where a run is, from another terminal: from its folder alone, and from the run itself on a signal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.command import VMVC, vmvc
from tests.report import runs
from vmvc import owner, status
from vmvc.errors import ResultsError
from vmvc.plan import Plan
from vmvc.signals import Signals
from vmvc.spec import Trials
from vmvc.status import Now, Posting
from vmvc.watching import Silent

SLOW = """\
name: slow
backends: {{fake: {{options: {{state: {state}, ready: 400ms}}}}}}
metrics: [startup]
trials: {{count: 30, warmup: 1}}
"""


@pytest.fixture
def running(tmp_path: Path, experiment: Callable[[str], Path]) -> Iterator[subprocess.Popen[str]]:
    path = experiment(SLOW.format(state=tmp_path / "state"))
    with subprocess.Popen(
        [VMVC, "run", path], cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("2/31"):
                break
        yield process
        process.kill()


def place(folder: Path) -> Path:
    (one,) = (folder / "results/slow").iterdir()
    return one


def test_a_run_tells_where_it_is_and_that_its_owner_died(
    tmp_path: Path, running: subprocess.Popen[str]
) -> None:
    where = place(tmp_path)
    time.sleep(0.2)
    found = status.read(where)
    assert (found.state, found.planned, found.experiment) == ("running", 31, "slow")
    assert 2 <= found.done <= 5
    assert found.trial is not None
    assert abs(found.trial - found.done) <= 3
    assert found.condition == "fake"
    assert found.step in ("begin", "create", "start", "ready", "observe", "stop", "destroy", "end")
    assert found.seconds is not None
    assert found.seconds < 5
    assert found.left is not None
    assert 2 < found.left < 120
    said = vmvc("status", "results/slow", cwd=tmp_path)
    assert said.code == 0
    assert f": running, process {running.pid}\n" in said.out
    assert " of 31 done" in said.out
    about = json.loads(vmvc("status", "--json", where, cwd=tmp_path).out)
    assert about["owner"] == owner.of_pid(running.pid)
    assert running.stderr is not None
    running.send_signal(signal.SIGUSR1)
    line = next(line for line in running.stderr if " of 31 trials done" in line)
    assert "fake: " in line
    assert "left" in line
    running.kill()
    running.wait()
    said = vmvc("status", where, cwd=tmp_path)
    assert said.code == 0
    assert f"its owner, process {running.pid}, is dead" in said.out
    assert "hint: vmvc run --resume" in said.out
    assert "left:" not in said.out


def test_a_run_that_ends_takes_its_status_away(tmp_path: Path, experiment: Callable[[str], Path]) -> None:
    path = experiment("name: slow\nbackends: [fake]\nmetrics: [startup]\ntrials: {count: 2, warmup: 0}\n")
    assert vmvc("run", path, "--quiet", cwd=tmp_path).code == 0
    where = place(tmp_path)
    assert not (where / status.NAME).exists()
    found = status.read(where)
    assert (found.state, found.done, found.owner) == ("finished", 2, "")


def test_a_run_that_waits_or_prepares_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "results/made/one"
    folder.mkdir(parents=True)
    posting = Posting(folder, Silent())
    posting.checking("docker")
    found = status.read(status.place(folder.parent))
    assert (found.state, found.step, found.planned) == ("running", "checking docker", None)
    assert "checking docker for " in posting.says()
    posting.close()
    with pytest.raises(ResultsError, match="holds no run"):
        status.place(folder.parent)


def test_an_owner_on_another_host_cannot_be_judged(tmp_path: Path) -> None:
    folder = runs.make(tmp_path / "run", backends=("docker",), until=3)
    now = Now(mark=1, owner="elsewhere:1:0.00", step="ready", since_ns=1, since="x", end=1)
    (folder / status.NAME).write_text(now.model_dump_json())
    found = status.read(folder)
    assert (found.state, found.seconds, found.left) == ("elsewhere", None, None)
    assert "by process 1 on elsewhere" in vmvc("status", folder, cwd=tmp_path).out


@pytest.mark.parametrize("text", ["", "{", "[]", '{"mark":1}', "\x00" * 300])
def test_a_damaged_status_hides_no_trial(tmp_path: Path, text: str) -> None:
    folder = runs.make(tmp_path / "run", backends=("docker",), until=3)
    (folder / status.NAME).write_text(text)
    found = status.read(folder)
    assert (found.state, found.done) == ("interrupted", 3)


def test_a_half_written_status_is_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    posting = Posting(tmp_path, Silent())
    posting.step("ready")
    whole = (tmp_path / status.NAME).read_bytes()
    torn = whole.replace(b'"end":2', b'"end":1')
    seen = iter([torn, whole[:50], whole])
    monkeypatch.setattr(Path, "read_bytes", lambda self: next(seen))
    found = status._now(tmp_path / status.NAME)
    assert found is not None
    assert (found.step, found.mark) == ("ready", found.end)
    monkeypatch.undo()
    posting.close()


def test_a_full_disk_costs_the_status_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> int:
        raise OSError(28, os.strerror(28))

    posting = Posting(tmp_path, Silent())
    monkeypatch.setattr(os, "pwrite", full)
    posting.step("ready")
    assert "ready for" in posting.says()
    posting.close()
    nowhere = Posting(tmp_path / "nowhere", Silent())
    nowhere.step("ready")
    assert "ready for" in nowhere.says()
    nowhere.close()


def test_a_step_costs_the_parent_a_tenth_of_a_millisecond_at_most(tmp_path: Path) -> None:
    posting = Posting(tmp_path, Silent())
    plan = Plan({"fake": {}}, (("startup",),), Trials(count=200, warmup=0))
    posting.opened(tmp_path, plan, 0)
    before = time.thread_time()
    for trial in plan:
        posting.begun(trial)
        for step in ("create", "start", "ready", "observe", "stop"):
            posting.step(step)
    assert (time.thread_time() - before) / 1200 < 1e-4
    posting.close()


def test_only_who_asks_is_answered() -> None:
    told: list[str] = []
    signals = Signals()
    signals.on_asked = lambda: told.append("here")
    with signals.installed():
        signals.answer()
        os.kill(os.getpid(), signal.SIGUSR1)
        signals.answer()
        signals.answer()
    assert told == ["here"]


@pytest.mark.parametrize(
    ("journal", "words"),
    [("{}\n", "journal.jsonl:1: not a record"), ('{"record":"run","version":9}\n', "of version 9")],
)
def test_a_folder_that_cannot_be_read_has_one_clear_message(tmp_path: Path, journal: str, words: str) -> None:
    (tmp_path / "journal.jsonl").write_text(journal)
    said = vmvc("status", tmp_path, cwd=tmp_path)
    assert (said.code, words in said.err) == (2, True)
    assert vmvc("status", tmp_path / "nowhere", cwd=tmp_path).code == 2
