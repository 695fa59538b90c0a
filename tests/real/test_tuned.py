"""This very host tuned and put back, also after a kill; guests and prober on CPUs of their own."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import docker
import psutil
import pytest

from tests.command import VMVC, vmvc
from vmvc.host.topology import split

ASLR = Path("/proc/sys/kernel/randomize_va_space")
ALL = """\
name: tuned
backends:
  process: {}
  docker: {}
  libvirt: {}
  embedded: {kind: libvirt, options: {uri: "qemu:///embed"}}
metrics: {memory: {settle: 1500ms}}
trials: {count: 1, warmup: 0, timeout: 90s}
tune: [aslr, cpus]
"""
FAKE = """\
name: tuned
backends: {{fake: {{options: {{state: {state}, ready: 300ms}}}}}}
metrics: [startup]
trials: {{count: 20, warmup: 0}}
tune: [aslr]
"""

pytestmark = [pytest.mark.real("root"), pytest.mark.timeout(300), pytest.mark.quiet]


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Leave the host as it was, whatever a test shows."""
    before = ASLR.read_bytes()
    yield
    ASLR.write_bytes(before)


def run_of(folder: Path) -> str:
    (one,) = (folder / "results" / "tuned").iterdir()
    return one.name


def seen(run: str, parent: int) -> Iterator[tuple[str, int]]:
    """Yield who of a run is alive: `prober` (vmvc and its worker) and each backend's guest, with its pid."""
    yield "prober", parent
    for one in psutil.process_iter(["name", "cmdline", "ppid"]):
        line = one.info["cmdline"] or []
        if one.info["ppid"] == parent and any("vmvc.worker" in word for word in line):
            yield "prober", one.pid
        elif any(word.startswith(f"guest=vmvc-{run}-") for word in line):
            yield "libvirt", one.pid
        else:
            with suppress(OSError):
                if f"VMVC_RUN={run}".encode() in Path(f"/proc/{one.pid}/environ").read_bytes().split(b"\0"):
                    yield "process", one.pid
    client = docker.from_env()
    for container in client.containers.list(filters={"label": f"vmvc.run={run}"}):
        pid = container.attrs["State"]["Pid"]
        if pid:
            yield "docker", pid
    client.close()


def allowed(pid: int) -> set[str]:
    """Return what the kernel says of every thread: its ``Cpus_allowed_list``."""
    found = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        lines = (task / "status").read_text().splitlines()
        found.add(next(line.split()[1] for line in lines if line.startswith("Cpus_allowed_list:")))
    return found


@pytest.mark.real("docker", "libvirt")
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two CPUs are needed")
def test_guests_and_prober_stay_on_cpus_of_their_own(tmp_path: Path) -> None:
    shares = split()
    assert shares is not None
    (tmp_path / "tuned.yaml").write_text(ALL)
    before, tuned = ASLR.read_bytes(), set()
    last: dict[str, dict[int, set[str]]] = defaultdict(dict)
    with subprocess.Popen([VMVC, "run", "tuned.yaml", "--quiet"], cwd=tmp_path) as running:
        while running.poll() is None:
            if (tmp_path / "results" / "tuned").exists():
                tuned.add(ASLR.read_bytes())
                alive = list(seen(run_of(tmp_path), running.pid))
                # Vmvc itself is free again once its last trial has ended.
                for who, pid in alive if {who for who, _ in alive} > {"prober"} else ():
                    with suppress(OSError, StopIteration):
                        last[who][pid] = allowed(pid)
            time.sleep(0.1)
    assert running.returncode == 0
    assert tuned - {before} == {b"0\n"}
    assert ASLR.read_bytes() == before
    assert set(last) == {"prober", "process", "docker", "libvirt"}
    assert len(last["libvirt"]) == 2
    for who, pids in last.items():
        wanted = shares.prober if who == "prober" else shares.guest
        for sets in pids.values():
            assert sets == {",".join(map(str, wanted))}, (who, pids)
    about = json.loads((tmp_path / "results" / "tuned" / run_of(tmp_path) / "run.json").read_text())
    assert about["host"]["tuned"] == "aslr cpus"
    assert json.loads(about["conditions"]["docker"]["facts"]["create"])["HostConfig"]["CpusetCpus"]


def test_killed_with_this_host_tuned_it_is_put_back(tmp_path: Path) -> None:
    (tmp_path / "tuned.yaml").write_text(FAKE.format(state=tmp_path / "state"))
    before = ASLR.read_bytes()
    assert before != b"0\n", "this host has no address randomisation to switch off"
    for cure in (["restore"], ["run", "tuned.yaml", "--trials", "1", "--quiet"]):
        with subprocess.Popen(
            [VMVC, "run", "tuned.yaml"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
        ) as running:
            assert running.stderr is not None
            for line in running.stderr:
                if line.startswith("1/20"):
                    break
            assert ASLR.read_bytes() == b"0\n"
            running.kill()
        assert ASLR.read_bytes() == b"0\n"
        done = vmvc(*cure, cwd=tmp_path)
        assert done.code == 0, done.err
        assert ASLR.read_bytes() == before
        if cure == ["restore"]:
            assert done.out == f"{ASLR}: put back to {before.decode().strip()}\n"
