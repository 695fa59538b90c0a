"""Both versions of cgroups as a real kernel keeps them: in a machine, where they can be mounted at will."""

from __future__ import annotations

import io
import secrets
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from vmvc import cgroups, owner, probes
from vmvc.backends.libvirt import LibvirtBackend, LibvirtOptions
from vmvc.contract import Guest, Instance, MonotonicClock, Tag
from vmvc.spec import BUILT_IN_IMAGES, Exec, ReadyExec

pytestmark = pytest.mark.real("libvirt")

MIB = 2**20
SLACK = cgroups.CHARGE_BATCH * 4096
"""What a kernel with one CPU charges ahead."""
MOUNT = {
    "v1": "mkdir -p /cg && mount -t cgroup -o memory none /cg",
    "v2": "mkdir -p /cg && mount -t cgroup2 none /cg && echo +memory >/cg/cgroup.subtree_control",
}
# One process holds 32 MiB that nobody shares, another writes 8 MiB to a tmpfs; both stay in the cgroup below.
FILL = """
mkdir -p /cg/one/below /shm && mount -t tmpfs none /shm && mkfifo /full || exit 1
(exec >/dev/null 2>&1 </dev/null
 sh -c 'echo $$ >/cg/one/below/cgroup.procs; exec sleep 600 </full' &
 sh -c 'echo $$ >/cg/one/below/cgroup.procs; exec dd if=/dev/zero of=/full bs=32M count=1' &)
sh -c 'echo $$ >/cg/one/below/cgroup.procs; exec dd if=/dev/zero of=/shm/file bs=1M count=8' || exit 1
sleep 3
mkdir /seen && cd /cg/one && for f in memory.*; do cat $f >/seen/$f 2>/dev/null; done
tar -c -C /seen . ; umount /shm
"""


@pytest.fixture
def machine() -> Iterator[Instance]:
    backend = LibvirtBackend("libvirt", LibvirtOptions())
    ready = ReadyExec(exec=Exec(command=("true",)))
    guest = Guest(BUILT_IN_IMAGES["tiny"], cpus=1, memory=256 * MIB, ready=ready, command=("sleep", "600"))
    backend.prepare(guest)
    instance = backend.instance(Tag(f"cgroups-{secrets.token_hex(4)}", 1, owner.current()), guest)
    clock = MonotonicClock()
    try:
        instance.create()
        instance.start()
        probes.wait(ready, instance, None, clock, clock.now() + 120 * 10**9)
        yield instance
    finally:
        instance.destroy()
        backend.close()


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_real_kernels_files_are_understood(machine: Instance, version: str, tmp_path: Path) -> None:
    mounted = machine.run(["sh", "-c", MOUNT[version]], timeout=30)
    assert mounted.returncode == 0, mounted.stderr
    filled = machine.run(["sh", "-c", FILL], timeout=60)
    assert filled.returncode == 0, filled.stderr
    with tarfile.open(fileobj=io.BytesIO(filled.stdout)) as archive:
        archive.extractall(tmp_path, filter="data")
    assert (tmp_path / ("memory.current" if version == "v2" else "memory.usage_in_bytes")).exists()
    found = {name: figure for name, figure in cgroups.memory(tmp_path).items() if isinstance(figure, int)}
    assert tuple(found) == cgroups.FIGURES
    assert found["anon"] == pytest.approx(32 * MIB, abs=MIB)
    assert found["file"] == pytest.approx(8 * MIB, abs=MIB)
    assert 0 < found["kernel"] < 4 * MIB
    assert found["inactive"] < MIB
    parts = found["anon"] + found["file"] + found["kernel"]
    assert found["current"] == pytest.approx(parts, abs=4 * SLACK)
    assert found["current"] <= found["peak"] < found["current"] + 4 * MIB
