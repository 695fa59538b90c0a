"""What a machine takes of the disk, against qemu-img, the file system and a known file in the guest."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.real.virsh import virsh
from vmvc import owner, probes
from vmvc.backends.libvirt import LibvirtBackend, LibvirtOptions
from vmvc.console import ConsoleTap
from vmvc.contract import Guest, Instance, MonotonicClock, Reading, Scene, Tag
from vmvc.metrics.disk import Disk, DiskOptions
from vmvc.spec import Exec, ReadyExec, RecipeImage

pytestmark = [pytest.mark.real("libvirt", "mmdebstrap"), pytest.mark.timeout(600)]

MIB = 2**20
WRITTEN = 24 * MIB
CLOCK = MonotonicClock()
GUEST = Guest(
    RecipeImage(base="debian:bookworm", packages=("nginx-light",), services=("nginx",)),
    cpus=1,
    memory=2**29,
    ready=ReadyExec(exec=Exec(command=("true",))),
)


@pytest.fixture
def machine() -> Iterator[Instance]:
    backend = LibvirtBackend("kvm", LibvirtOptions(uri="qemu:///system"))
    backend.prepare(GUEST)
    instance = backend.instance(Tag(f"disk-{secrets.token_hex(4)}", 1, owner.current()), GUEST)
    try:
        instance.create()
        instance.start()
        tap = ConsoleTap(instance.console(), CLOCK)
        probes.wait(GUEST.ready, instance, tap, CLOCK, CLOCK.now() + 150 * 10**9)
        yield instance
        tap.close()
    finally:
        instance.destroy()
        backend.close()


def look(instance: Instance) -> dict[str, float]:
    scene = Scene({}, GUEST, instance, CLOCK)
    return {one.quantity: one.value for one in Disk(DiskOptions()).observe(scene) if isinstance(one, Reading)}


def chain(instance: Instance) -> list[dict[str, Any]]:
    """Return what qemu-img says of the machine's disk and of each file that it stands on."""
    ((_, path),) = (line.split() for line in virsh("domblklist", instance.tag.name).splitlines())
    said = subprocess.run(
        ["qemu-img", "info", "--force-share", "--backing-chain", "--output=json", path],
        capture_output=True,
        check=True,
    ).stdout
    layers: list[dict[str, Any]] = json.loads(said)
    return layers


def boot_files(instance: Instance) -> int:
    """Return the blocks of the kernel and the initramfs, which all machines of the image share."""
    xml = virsh("dumpxml", instance.tag.name)
    paths = [re.search(rf"<{name}>(.+)</{name}>", xml) for name in ("kernel", "initrd")]
    return sum(Path(path[1]).stat().st_blocks * 512 for path in paths if path is not None)


def test_a_machine_takes_what_qemu_img_and_the_file_system_count(machine: Instance) -> None:
    before, first = look(machine), chain(machine)
    assert len(first) == 2, "an overlay on the image"
    for found, layers in ((before, first), (look(machine), chain(machine))):
        top, base = layers
        assert found["virtual"] == top["virtual-size"] == base["virtual-size"]
        assert base["actual-size"] == Path(base["filename"]).stat().st_blocks * 512
        assert found["shared"] == base["actual-size"] + boot_files(machine)
        assert found["allocated"] == found["shared"] + found["unique"]
    assert Path(first[1]["filename"]).suffix == ".qcow2"

    script = f"head -c {WRITTEN} /dev/urandom >/var/tmp/known && sync"
    assert machine.run(["sh", "-c", script], timeout=120).returncode == 0
    after, (top, base) = look(machine), chain(machine)
    grown = after["unique"] - before["unique"]
    assert grown == pytest.approx(top["actual-size"] - first[0]["actual-size"], abs=MIB)
    assert after["unique"] == pytest.approx(top["actual-size"], abs=MIB)
    assert WRITTEN <= grown < WRITTEN + 16 * MIB, "the file, and what the guest's file system notes of it"
    assert (after["virtual"], after["shared"]) == (before["virtual"], before["shared"])
    assert base["actual-size"] == first[1]["actual-size"]
