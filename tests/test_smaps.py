"""Memory of processes: against processes that hold a known amount, and against psutil."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from vmvc import smaps
from vmvc.errors import Unavailable

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc/PID/smaps_rollup")

MIB = 2**20
HOLD = "held = b'x' * {size}; print('holding', flush=True); import sys; sys.stdin.read()"
SHARE = (
    "import mmap, os, sys; held = mmap.mmap(-1, {size}); held.write(b'x' * {size}); r, w = os.pipe()\n"
    "child = os.fork()\n"
    "if child == 0: held[::4096]; os.write(w, b'.'); sys.stdin.read(); os._exit(0)\n"
    "os.read(r, 1); print(child, flush=True); sys.stdin.read(); os.wait()"
)


@contextmanager
def program(code: str) -> Iterator[tuple[int, str]]:
    """Run Python code that prints one line; give its process id and that line."""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.pid, process.stdout.readline().strip()
        assert process.stdin is not None
        process.stdin.close()


def numbers(figures: Mapping[str, int | Unavailable]) -> dict[str, int]:
    assert not [one for one in figures.values() if isinstance(one, Unavailable)], figures
    return {name: one for name, one in figures.items() if isinstance(one, int)}


def test_what_a_process_holds_is_in_every_figure() -> None:
    with program(HOLD.format(size=MIB)) as (small, _), program(HOLD.format(size=65 * MIB)) as (large, _):
        less, more = numbers(smaps.memory([small])), numbers(smaps.memory([large]))
    for figure in smaps.FIGURES:
        assert more[figure] - less[figure] == pytest.approx(64 * MIB, abs=MIB), figure
    assert more["uss"] <= more["pss"] <= more["rss"]


def test_shared_memory_counts_twice_in_rss_once_in_pss_and_never_in_uss() -> None:
    with program(SHARE.format(size=64 * MIB)) as (parent, child):
        both = numbers(smaps.memory([parent, int(child)]))
        one = numbers(smaps.memory([parent]))
    assert both["rss"] > 128 * MIB
    assert 64 * MIB < both["pss"] < 100 * MIB
    assert 32 * MIB < one["pss"] < 60 * MIB
    assert both["uss"] < 30 * MIB


def test_pages_of_a_file_that_nobody_else_maps_are_its_own(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.write(b"x" * 32 * MIB)
        file.flush()
        os.fsync(file.fileno())  # so that its pages are clean
    read = f"import mmap; file = open({str(tmp_path / 'file')!r}, 'rb')\n"
    read += "view = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ); view[::4096]\n"
    with program(HOLD.format(size=MIB)) as (none, _), program(read + HOLD.format(size=MIB)) as (mapped, _):
        less, more = numbers(smaps.memory([none])), numbers(smaps.memory([mapped]))
    for figure in smaps.FIGURES:
        assert more[figure] - less[figure] == pytest.approx(32 * MIB, abs=2 * MIB), figure


def test_psutil_agrees() -> None:
    with program(HOLD.format(size=8 * MIB)) as (pid, _):
        found, expected = numbers(smaps.memory([pid])), psutil.Process(pid).memory_full_info()
    assert found == {"rss": expected.rss, "pss": expected.pss, "uss": expected.uss}


def test_a_process_that_has_ended_counts_for_nothing() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with program(HOLD.format(size=MIB)) as (pid, _):
        assert smaps.memory([pid, gone.pid]) == smaps.memory([pid])


def test_a_process_that_nobody_waited_for_counts_for_nothing() -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    while psutil.Process(dead.pid).status() != psutil.STATUS_ZOMBIE:
        pass
    with program(HOLD.format(size=MIB)) as (pid, _):
        assert smaps.memory([pid, dead.pid]) == smaps.memory([pid])
    dead.wait()


def test_of_no_process_it_is_nothing_and_of_none_to_be_seen_it_is_unknown() -> None:
    assert smaps.memory([]) == {"rss": 0, "pss": 0, "uss": 0}
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for figure in smaps.memory([gone.pid]).values():
        assert isinstance(figure, Unavailable)
        assert "none of the processes" in figure.what


def refused(figures: Mapping[str, int | Unavailable], why: str) -> None:
    assert figures["rss"] == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)
    for name in ("pss", "uss"):
        figure = figures[name]
        assert isinstance(figure, Unavailable)
        assert why in figure.what


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_without_the_right_rss_is_left() -> None:
    """Somebody else looks at this process."""
    asked = os.getpid()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setuid(65534)
        figures = {
            name: one.what if isinstance(one, Unavailable) else one
            for name, one in smaps.memory([asked]).items()
        }
        os.write(writer, json.dumps(figures).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with open(reader) as file:
        told = json.load(file)
    refused(
        {name: Unavailable(one) if isinstance(one, str) else one for name, one in told.items()},
        "needs root or CAP_SYS_PTRACE; resident memory is still measured, and so are cgroups",
    )


def test_on_a_host_without_smaps_rss_is_left(tmp_path: Path) -> None:
    refused(smaps.memory([os.getpid()], tmp_path), "this host has no /proc/PID/smaps_rollup")
