"""Guests that panic, restart for ever, flood their console, fill their disk or lose their engine's process.

Each is one failed trial with its true reason; what they print is bounded, and the run goes on.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.command import VMVC, vmvc
from tests.real.left import left_behind
from vmvc.console import MOST_LOGGED

FAULTS = """\
name: faults
guest: {memory: 192MiB, ready: {console: {pattern: never said}}}
backends:
  panics: {kind: libvirt, guest: {command: [sh, -c, "echo c > /proc/sysrq-trigger; sleep 100"]}}
  restarts: {kind: libvirt, guest: {command: [sh, -c, "reboot -f; sleep 100"]}}
  fills: {kind: libvirt, guest: {command: [sh, -c, "dd if=/dev/zero of=/f bs=1M; sync; echo full; sleep 99"]}}
  floods: {kind: docker, guest: {command: [yes, flood]}}
metrics: [startup]
trials: {count: 1, warmup: 0, timeout: 10s, stop_timeout: 1s, order: sequential}
"""
REASONS = {
    "panics": "the guest ended before it was ready (kernel panic: sysrq triggered crash)",
    "restarts": "the guest ended before it was ready; last seen",
    "fills": "full",
    "floods": "flood\nflood",
}
"""Words of each failure; a machine that asks for a restart is over, since it would be another life."""

HALTED = """\
name: halted
images: {writes: {disk: writes.img}}
guest: {image: writes, memory: 64MiB, ready: {console: {pattern: never said}}}
backends: [libvirt]
metrics: [startup]
trials: {count: 1, warmup: 0, timeout: 10s, stop_timeout: 1s}
"""
WRITES = (
    b"\x31\xc0"  # xor ax, ax
    b"\x8e\xd8"  # mov ds, ax        ds = 0
    b"\x8e\xd0"  # mov ss, ax        ss = 0
    b"\xbc\x00\x7c"  # mov sp, 0x7c00
    b"\xfb"  # sti
    # again:
    b"\xbe\x20\x7c"  # mov si, 0x7c20    what to write, below
    b"\xb8\x00\x43"  # mov ax, 0x4300    the firmware's write
    b"\xb2\x80"  # mov dl, 0x80      to the first disk
    b"\xcd\x13"  # int 0x13
    b"\x66\x83\x06\x28\x7c\x40"  # add dword [0x7c28], 64
    b"\xeb\xee"  # jmp again
).ljust(32, b"\0") + bytes((16, 0, 64, 0, 0, 0, 0, 0x10, 64, 0, 0, 0, 0, 0, 0, 0))
"""A boot sector that writes to its disk from the 64th sector on, 64 at a time."""

LIVES = """\
name: lives
guest: {memory: 192MiB}
backends: [libvirt]
metrics: [startup]
trials: {count: 2, warmup: 0, timeout: 60s, stop_timeout: 5s}
"""

pytestmark = [pytest.mark.real("docker", "libvirt", "root"), pytest.mark.timeout(300)]


def trials_of(folder: Path) -> list[dict[str, object]]:
    (run,) = folder.glob("results/*/*")
    lines = map(json.loads, (run / "journal.jsonl").read_text().splitlines())
    return [line for line in lines if line["record"] == "trial"]


def test_what_goes_wrong_in_a_guest_is_told_and_bounded(tmp_path: Path) -> None:
    (tmp_path / "faults.yaml").write_text(FAULTS)
    said = vmvc("run", "faults.yaml", cwd=tmp_path)
    assert said.code == 1, said.err
    failures = {str(one["condition"]): one["failure"]["reason"] for one in trials_of(tmp_path)}  # type: ignore[index]
    assert failures.keys() == REASONS.keys()
    for condition, words in REASONS.items():
        assert words in failures[condition], condition
        assert len(failures[condition]) < 4000, condition
    (run,) = tmp_path.glob("results/faults/*")
    for log in (run / "logs").glob("*.console"):
        assert log.stat().st_size <= MOST_LOGGED + 200, log
    assert left_behind(run.name) == []


def test_a_machine_whose_process_is_killed_costs_its_trial_only(tmp_path: Path) -> None:
    (tmp_path / "lives.yaml").write_text(LIVES)
    with subprocess.Popen(
        [VMVC, "run", "lives.yaml", "--quiet"], cwd=tmp_path, stderr=subprocess.DEVNULL, env=os.environ
    ) as running:
        machine = _machine(tmp_path)
        machine.send_signal(signal.SIGKILL)
        assert running.wait() == 1
    first, second = trials_of(tmp_path)
    assert (first["outcome"], second["outcome"]) == ("failed", "measured")
    assert "ended before it was ready" in first["failure"]["reason"]  # type: ignore[index]
    (run,) = tmp_path.glob("results/lives/*")
    assert left_behind(run.name) == []


@pytest.fixture
def small() -> Iterator[Path]:
    """Give an image cache with little room, at a short path."""
    with tempfile.TemporaryDirectory(prefix="vmvc-") as place:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=755", "none", place], check=True)
        try:
            yield Path(place)
        finally:
            subprocess.run(["umount", place], check=True)


def test_a_machine_that_is_halted_as_the_hosts_disk_is_full_says_so(tmp_path: Path, small: Path) -> None:
    disk = tmp_path / "writes.img"
    disk.write_bytes(WRITES.ljust(510, b"\0") + b"\x55\xaa")
    os.truncate(disk, 2**26)
    (tmp_path / "halted.yaml").write_text(HALTED)
    said = vmvc("run", "halted.yaml", cwd=tmp_path, env={**os.environ, "VMVC_CACHE": str(small)})
    assert said.code == 1, said.err
    (trial,) = trials_of(tmp_path)
    assert "not ready after 10 s (its CPUs are paused, after an I/O error" in trial["failure"]["reason"]  # type: ignore[index]
    (run,) = tmp_path.glob("results/halted/*")
    assert left_behind(run.name) == []


def _machine(folder: Path, seconds: float = 60.0) -> psutil.Process:
    """Return QEMU's process of the first trial as soon as it has printed something."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        for log in folder.glob("results/lives/*/logs/trial-1.console"):
            run = log.parents[1]
            if not log.stat().st_size:
                continue
            for one in psutil.process_iter(["name", "cmdline"]):
                named = any(f"vmvc-{run.name}-1" in word for word in one.info["cmdline"] or ())
                if named and (one.info["name"] or "").startswith("qemu"):
                    return one
        time.sleep(0.02)
    raise AssertionError("no machine was started")
