"""Real KVM, proven with a boot sector: it boots under hardware virtualisation where no kernel may.

Some hosts offer a /dev/kvm that accepts machines but boots no ordinary kernel. 512 bytes that only print on the
serial port need so little that they run there too.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from xml.etree import ElementTree

import libvirt
import libvirt_qemu
import pytest

from vmvc import owner
from vmvc.backends.libvirt import LibvirtBackend, LibvirtOptions
from vmvc.console import ConsoleTap
from vmvc.contract import Guest, MonotonicClock, Severity, Tag
from vmvc.probes import wait
from vmvc.spec import Console, DiskImage, ReadyConsole

ORIGIN = 0x7C00
"""Where the firmware puts a boot sector."""
COM1 = 0x3F8
LINE = b"boot sector speaks\r\n"


def boot_sector(text: bytes) -> bytes:
    """Assemble a boot sector that prints ``text`` on COM1 and halts (16-bit code)."""

    def word(number: int) -> bytes:
        return number.to_bytes(2, "little")

    def code(at: int) -> bytes:
        return b"".join(
            (
                b"\xfa",  # cli               no interrupts
                b"\x31\xc0",  # xor ax, ax
                b"\x8e\xd8",  # mov ds, ax        ds = 0
                b"\xfc",  # cld               lodsb goes forward
                b"\xbe" + word(at),  # mov si, at        the text
                # next:
                b"\xac",  # lodsb             al = [si++]
                b"\x84\xc0",  # test al, al       a zero byte ends the text
                b"\x74\x11",  # jz halt
                b"\x88\xc3",  # mov bl, al
                b"\xba" + word(COM1 + 5),  # mov dx, COM1 + 5  line status
                # busy:
                b"\xec",  # in al, dx
                b"\xa8\x20",  # test al, 0x20     room for a byte?
                b"\x74\xfb",  # jz busy
                b"\xb2" + bytes([COM1 & 0xFF]),  # mov dl, COM1      data
                b"\x88\xd8",  # mov al, bl
                b"\xee",  # out dx, al
                b"\xeb\xea",  # jmp next
                # halt:
                b"\xf4",  # hlt
                b"\xeb\xfd",  # jmp halt
            )
        )

    start = code(ORIGIN + len(code(0)))
    return (start + text + b"\0").ljust(510, b"\0") + b"\x55\xaa"


@pytest.fixture
def backend() -> LibvirtBackend:
    options = LibvirtOptions(
        accelerator="kvm", machine="pc", disk_bus="ide", hide_cpu_features=("arch-capabilities",)
    )
    return LibvirtBackend("kvm", options)


@pytest.fixture
def guest(tmp_path: Path) -> Guest:
    (tmp_path / "sector.img").write_bytes(boot_sector(LINE).ljust(2**20, b"\0"))
    ready = ReadyConsole(console=Console(pattern="^boot sector speaks$"))
    return Guest(DiskImage(disk="sector.img", format="raw"), 1, 64 * 2**20, ready, folder=tmp_path)


@pytest.mark.real("libvirtd", "kvm")
@pytest.mark.parametrize("uri", ["qemu:///system"])
def test_a_boot_sector_speaks_under_real_kvm(backend: LibvirtBackend, guest: Guest, uri: str) -> None:
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
        assert _kvm_says(uri, instance.tag.name) == {"type": "kvm", "monitor": "kvm support: enabled"}
        usage = instance.disk()
        assert usage.virtual == 2**20
        assert usage.unique
        tap.close()
    finally:
        instance.destroy()
        backend.close()
    assert not instance.alive()


def _kvm_says(uri: str, name: str) -> dict[str, str]:
    """Ask libvirt and QEMU themselves."""
    connection = libvirt.open(uri)
    domain = connection.lookupByName(name)
    told = {
        "type": ElementTree.fromstring(domain.XMLDesc(0)).get("type", ""),
        "monitor": libvirt_qemu.qemuMonitorCommand(
            domain, "info kvm", libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP
        ).strip(),
    }
    connection.close()
    return told
