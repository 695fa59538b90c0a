"""A machine of VirtualBox whose root file system is on a disk, not in memory; to be run in the lab."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.real.lab.contract_virtualbox import OPTIONS, PATIENCE
from vmvc.backends.virtualbox import VirtualBoxBackend
from vmvc.contract import Guest, MonotonicClock
from vmvc.images import debian, tiny, vdi_boot
from vmvc.probes import wait
from vmvc.spec import Http, ReadyHttp, RecipeImage
from vmvc.testing.handles import new_tag

LOOKS = 'grep " / " /proc/mounts; cat /etc/from; echo mine >/own; sync'


def test_a_root_on_a_disk_is_booted_and_every_machine_writes_to_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The lab cannot download Debian: the root of ``tiny`` stands in, which otherwise lives in memory."""
    small = RecipeImage(base="tiny", files={"/etc/from": "the disk\n"})
    monkeypatch.setattr(debian, "build", lambda image: tiny.build(small))
    ready = ReadyHttp(http=Http(port=80, interval=2.0))
    guest = Guest(RecipeImage(base="debian:bookworm"), cpus=1, memory=192 * 2**20, ready=ready)
    backend, clock = VirtualBoxBackend("virtualbox", OPTIONS, PATIENCE), MonotonicClock()
    backend.prepare(guest)
    disk = vdi_boot(guest, OPTIONS.kernel_arguments).disk
    assert disk is not None
    before = _digest(disk.path)
    instance = backend.instance(new_tag(), guest)
    try:
        instance.create()
        instance.start()
        wait(ready, instance, None, clock, clock.now() + 600 * 10**9)
        done = instance.run(("sh", "-c", LOOKS), timeout=300.0)
        mounted, came_from = done.stdout.decode().splitlines()
        assert mounted.startswith("/dev/sda / ext4 rw"), mounted
        assert came_from == "the disk"
        usage = instance.disk()
        assert usage.virtual == disk.size
        assert usage.unique is not None
        assert usage.unique > 2**20, "what it has written is nowhere"
        instance.stop(timeout=300.0)
    finally:
        instance.destroy()
        backend.close()
    assert _digest(disk.path) == before, "a machine wrote to the image"
    backend.forget(guest)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
