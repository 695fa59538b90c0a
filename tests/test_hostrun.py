"""Commands on the host: what they print, and that none outlives its deadline."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import psutil
import pytest

from vmvc import hostrun
from vmvc.errors import DeadlineExceeded


def run(*argv: str, timeout: float = 20.0, stdin: bytes = b"", most: int = 2**20) -> tuple[int, bytes, bytes]:
    done = hostrun.run(argv, env={"A": "b c"}, timeout=timeout, stdin=stdin, most=most)
    return done.returncode, done.stdout, done.stderr


def test_arguments_input_and_environment_arrive_as_they_are() -> None:
    script = "import os, sys; print(sys.argv[1:], os.environ['A'], sys.stdin.read(), flush=True); sys.exit(3)"
    code, out, err = run(sys.executable, "-c", script, "a  b; $HOME", stdin=b"in")
    assert (code, out, err) == (3, b"['a  b; $HOME'] b c in\n", b"")


def test_what_cannot_be_found_or_run_ends_as_a_shell_says_it(tmp_path: Path) -> None:
    assert run("no-such-program-anywhere")[0] == 127
    assert run(str(tmp_path))[0] == 126
    assert run("sh", "-c", "kill -9 $$")[0] == 137


def test_a_command_that_never_ends_is_gone_with_its_children(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    begin = time.monotonic()
    with pytest.raises(DeadlineExceeded, match=r"did not end within 0\.5 s"):
        run("sh", "-c", f"sleep 600 & echo $! > {note}; wait", timeout=0.5)
    assert time.monotonic() - begin < 10
    child = int(note.read_text())
    limit = time.monotonic() + 5
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < limit, "it outlived its deadline"
        time.sleep(0.01)


def test_endless_output_is_cut_off_and_ended() -> None:
    begin = time.monotonic()
    _, out, _ = run("yes", most=4096)
    assert time.monotonic() - begin < 10
    assert len(out) == 4097
