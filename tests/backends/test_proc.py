"""What /proc shows of processes: against psutil, and against a tree of known shape."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from vmvc.backends import proc

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has this /proc")

TREE = """
import os, sys, threading
def leaf():
    r, w = os.pipe()
    if not os.fork():
        os.close(w); os.read(r, 1); os._exit(0)
    return w
inner = os.pipe()
if not os.fork():
    ends = [leaf()]
    born = threading.Event()
    def other():
        ends.append(leaf()); born.set(); threading.Event().wait()
    threading.Thread(target=other, daemon=True).start(); born.wait()
    if not os.fork(): os._exit(0)
    os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
    os.write(inner[1], b".")
    sys.stdin.read(); os._exit(0)
os.read(inner[0], 1)
print("grown", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def tree() -> Iterator[int]:
    """A process with one child, which has two children of its own, one of another thread, and a zombie."""
    with subprocess.Popen(
        [sys.executable, "-c", TREE, "an argument", ""], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        for one in psutil.Process(process.pid).children(recursive=True):
            one.kill()
        process.kill()


def test_the_table_is_what_psutil_sees(tree: int) -> None:
    found = proc.table()
    assert found[os.getpid()].parent == os.getppid()
    assert found[tree] == proc.Running(psutil.Process(tree).name()[:15], os.getpid())
    zombies = {one.pid for one in psutil.process_iter() if one.status() == psutil.STATUS_ZOMBIE}
    assert zombies
    assert not zombies & found.keys()


@pytest.mark.parametrize("told", [True, False], ids=["told by the kernel", "searched"])
def test_descendants_of_all_threads_without_those_that_have_ended(
    tree: int, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not told:
        monkeypatch.setattr(proc, "_told_by_kernel", proc._searched())
    alive = [
        one.pid
        for one in psutil.Process(tree).children(recursive=True)
        if one.status() != psutil.STATUS_ZOMBIE
    ]
    assert len(alive) == 3
    assert sorted(proc.below(tree)) == sorted(alive)


def test_a_command_with_its_arguments_and_its_user(tree: int) -> None:
    assert proc.command(tree) == [sys.executable, "-c", TREE, "an argument", ""]
    assert proc.user(tree) == os.getuid()


def test_a_process_that_is_gone_is_nothing() -> None:
    with subprocess.Popen(["true"]) as process:
        gone = process.pid
        process.wait()
    assert (proc.look(gone), proc.command(gone), proc.user(gone), proc.below(gone)) == (None, [], None, [])
