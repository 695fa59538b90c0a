"""One run at a time on a host: refused or waiting, told who measures, and never held up by the dead."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vmvc import lock
from vmvc.errors import EngineError

HOLD = """\
import sys
from vmvc.lock import measuring

with measuring(False, "vmvc run long"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held() -> Iterator[subprocess.Popen[str]]:
    """Let another process hold the lock until its input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_who_is_refused_hears_who_measures() -> None:
    with held() as other, pytest.raises(EngineError) as refused, lock.measuring(wait=False):
        pass
    assert f"(process {other.pid}, since 20" in refused.value.what
    assert "vmvc run long)" in refused.value.what
    assert "--wait" in refused.value.hint


def test_who_waits_hears_it_once_and_goes_on_when_the_other_ends() -> None:
    told: list[str] = []
    with held() as other:

        def tell(holder: str) -> None:
            told.append(holder)
            other.kill()

        with lock.measuring(True, "vmvc run mine", tell):
            assert other.wait() == -signal.SIGKILL
    assert len(told) == 1
    assert f"process {other.pid}" in told[0]


def test_a_killed_holder_holds_nobody_up_and_its_note_is_not_believed() -> None:
    with held() as other:
        other.kill()
        other.wait()
        note = Path(os.environ["VMVC_LOCK"] + ".holder")
        assert json.loads(note.read_text())["pid"] == other.pid
        with lock.measuring(wait=False, what="vmvc run next"):
            assert json.loads(note.read_text())["pid"] == os.getpid()
        assert not note.exists()


def test_a_note_with_control_characters_is_not_shown() -> None:
    with held() as other:
        note = Path(os.environ["VMVC_LOCK"] + ".holder")
        text = note.read_text()
        note.write_text(text.replace("vmvc run long", "\\u001b[31mred"))
        with pytest.raises(EngineError) as refused, lock.measuring(wait=False):
            pass
        assert other.poll() is None
    assert "measures on this host; two" in refused.value.what


@pytest.mark.parametrize("note", ["", "{", "[]", '{"owner": "x:1:0"}', '{"owner": 1, "pid": "x"}'])
def test_a_note_that_is_torn_or_invented_says_nothing(note: str) -> None:
    with held():
        Path(os.environ["VMVC_LOCK"] + ".holder").write_text(note)
        with pytest.raises(EngineError) as refused, lock.measuring(wait=False):
            pass
    assert "measures on this host; two" in refused.value.what


def test_the_lock_is_the_hosts_whatever_the_users_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VMVC_LOCK")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(lock, "_SHARED", tmp_path / "shared")
    assert lock._place() == Path("/tmp")
    (tmp_path / "shared").mkdir()
    assert lock._place() == Path("/tmp"), "a folder of one user is not the host's"
    (tmp_path / "shared").chmod(0o1777)
    assert lock._place() == tmp_path / "shared"


def test_a_lock_that_cannot_be_written_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("VMVC_LOCK", str(tmp_path / "file" / "lock"))
    with pytest.raises(EngineError) as refused, lock.measuring(wait=False):
        pass
    assert "VMVC_LOCK" in refused.value.hint
