"""Who owns what was made: told by host, process and start, and believed dead only when it is."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import psutil
import pytest

from vmvc import owner


def test_a_live_owner_is_known_also_after_the_wall_clock_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = owner.current()
    real = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: real(process) + 3600)
    assert owner.alive(mine)
    assert owner.current() == mine


def test_the_start_is_what_the_kernel_says() -> None:
    ticks = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    assert owner.current().split(":")[1:] == [str(os.getpid()), f"{ticks}@{boot}"]


def test_the_dead_another_boot_and_a_recycled_id_are_dead() -> None:
    child = subprocess.Popen(["sleep", "60"])
    text = owner.of_pid(child.pid)
    assert owner.alive(text)
    assert not owner.alive(re.sub(r"@.*", "@00000000", text)), "of another boot"
    assert not owner.alive(re.sub(r":(\d+)@", lambda found: f":{int(found[1]) - 1}@", text)), (
        "an earlier process"
    )
    child.kill()
    child.wait()
    assert not owner.alive(text)
    with pytest.raises(psutil.NoSuchProcess):
        owner.of_pid(child.pid)


def test_an_owner_as_older_versions_wrote_it_is_understood() -> None:
    host = owner.current().partition(":")[0]
    born = psutil.Process().create_time()
    assert owner.alive(f"{host}:{os.getpid()}:{born:.2f}")
    assert not owner.alive(f"{host}:{os.getpid()}:{born - 100:.2f}")


@pytest.mark.parametrize("text", ["", ":", "::", "{host}:x:1", "{host}:1:", "{host}:1:@", "{host}:-1:1@2"])
def test_what_is_no_owner_of_this_host_is_dead_or_foreign(text: str) -> None:
    host = owner.current().partition(":")[0]
    assert owner.alive(text.format(host=host)) is not text.startswith("{host}")
