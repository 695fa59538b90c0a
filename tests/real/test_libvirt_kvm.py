"""Real KVM, proven with a boot sector: it boots under hardware virtualisation where no kernel may.

Some hosts offer a /dev/kvm that accepts machines but boots no ordinary kernel. 512 bytes that only print on
the serial port need so little that they run there too.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.real.boot_sector import boot_sector
from tests.real.virsh import virsh
from vmvc import owner
from vmvc.backends.libvirt import LibvirtBackend, LibvirtOptions
from vmvc.console import ConsoleTap
from vmvc.contract import Guest, MonotonicClock, Severity, Tag
from vmvc.probes import wait
from vmvc.spec import Console, DiskImage, ReadyConsole

LINE = b"boot sector speaks\r\n"


@pytest.fixture
def backend() -> LibvirtBackend:
    options = LibvirtOptions(
        uri="qemu:///system",
        accelerator="kvm",
        machine="pc",
        disk_bus="ide",
        hide_cpu_features=("arch-capabilities",),
    )
    return LibvirtBackend("kvm", options)


@pytest.fixture
def guest(tmp_path: Path) -> Guest:
    (tmp_path / "sector.img").write_bytes(boot_sector(LINE).ljust(2**20, b"\0"))
    ready = ReadyConsole(console=Console(pattern="^boot sector speaks$"))
    return Guest(DiskImage(disk="sector.img", format="raw"), 1, 64 * 2**20, ready, folder=tmp_path)


@pytest.mark.real("libvirtd", "kvm")
def test_a_boot_sector_speaks_under_real_kvm(backend: LibvirtBackend, guest: Guest) -> None:
    assert not [finding for finding in backend.check() if finding.severity is Severity.ERROR]
    assert backend.describe()["accelerator"] == "kvm"
    facts = backend.prepare(guest).facts
    assert "-accel kvm" in str(facts["command_line"])
    assert "-cpu host" in str(facts["command_line"])
    instance = backend.instance(Tag(f"kvm-{secrets.token_hex(4)}", 1, owner.current()), guest)
    clock = MonotonicClock()
    try:
        instance.create()
        instance.start()
        tap = ConsoleTap(instance.console(), clock)
        wait(guest.ready, instance, tap, clock, clock.now() + 60 * 10**9)
        assert LINE in tap.head
        name = instance.tag.name
        assert ElementTree.fromstring(virsh("dumpxml", name)).get("type") == "kvm"
        assert virsh("qemu-monitor-command", name, "--hmp", "info kvm") == "kvm support: enabled"
        usage = instance.disk()
        assert usage.virtual == 2**20
        assert usage.unique
        tap.close()
    finally:
        instance.destroy()
        backend.close()
    assert not instance.alive()
