"""Another hypervisor on the host of VirtualBox: beside it, or in its way; to be run in the lab."""

from __future__ import annotations

import os
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.real.boot_sector import boot_sector
from tests.real.lab import machine_virtualbox
from tests.real.lab.contract_virtualbox import PATIENCE
from vmvc.backends.virtualbox import VirtualBoxBackend, VirtualBoxOptions
from vmvc.contract import Guest
from vmvc.errors import StepFailed
from vmvc.testing.handles import new_tag

EFER, SVME = 0xC0000080, 1 << 12
"""The register by which a hypervisor takes AMD-V for itself, and its bit."""


@pytest.fixture
def taken() -> Iterator[None]:
    """Take AMD-V on every CPU, as a hypervisor does that asks neither Linux nor KVM."""
    subprocess.run(["modprobe", "msr"], check=True)
    Path("/sys/module/msr/parameters/allow_writes").write_text("on")
    with _efer(SVME, 0):
        yield


@pytest.fixture
def kvm() -> Iterator[None]:
    subprocess.run(["modprobe", "kvm_amd"], check=True)
    yield
    subprocess.run(["modprobe", "-r", "kvm_amd"], check=True)


@pytest.mark.usefixtures("kvm")
def test_it_starts_beside_a_machine_of_kvm(tmp_path: Path) -> None:
    """VirtualBox 7.2 asks Linux 7.2 for AMD-V, which then serves both; older ones fail, hence the finding."""
    (tmp_path / "disk.img").write_bytes(boot_sector(b"kvm speaks\r\n").ljust(2**20, b"\0"))
    said = tmp_path / "said"
    options = ("-accel", "kvm", "-m", "64", "-display", "none", "-serial", f"file:{said}")
    drive = ("-drive", f"file={tmp_path}/disk.img,format=raw,if=ide")
    with subprocess.Popen(["qemu-system-x86_64", "-M", "pc", *options, *drive]) as other:
        try:
            limit = time.monotonic() + 60
            while not said.exists() or b"kvm speaks" not in said.read_bytes():
                assert time.monotonic() < limit
                time.sleep(0.2)
            (finding,) = _backend().check()
            assert finding.code == "virtualbox.other-hypervisor"
            assert f"(pid {other.pid})" in finding.what
            contract = machine_virtualbox.TestVirtualBoxMachine()
            with contract.running() as guest:
                assert contract.state(guest) == "running"
            assert other.poll() is None
        finally:
            other.kill()


@pytest.mark.usefixtures("kvm", "taken")
def test_where_linux_cannot_have_amd_v_the_start_says_so() -> None:
    with machine_virtualbox.TestVirtualBoxMachine().off() as guest:
        error = _refusal(guest)
        assert "another hypervisor has VT-x or AMD-V (the kernel module kvm_amd)" in error.what
        assert "sudo modprobe -r kvm_intel kvm_amd" in error.hint


@pytest.mark.usefixtures("taken")
def test_where_virtualbox_cannot_take_it_the_start_says_so() -> None:
    rule = Path("/etc/modprobe.d/no-kvm.conf")
    rule.write_text("install kvm_amd /bin/false\n")
    try:
        subprocess.run(["modprobe", "-r", "kvm_amd"], check=False)
        with machine_virtualbox.TestVirtualBoxMachine().off() as guest:
            error = _refusal(guest)
            assert "AMD-V is being used by another hypervisor (VERR_SVM_IN_USE)" in error.what
            assert "sudo modprobe -r kvm_intel kvm_amd" in error.hint
    finally:
        rule.unlink()


def _refusal(guest: Guest) -> StepFailed:
    backend = _backend()
    backend.prepare(guest)
    instance = backend.instance(new_tag(), guest)
    try:
        instance.create()
        with pytest.raises(StepFailed) as refusal:
            instance.start()
        assert not instance.alive()
        return refusal.value
    finally:
        instance.destroy()
        backend.close()


def _backend() -> VirtualBoxBackend:
    return VirtualBoxBackend("virtualbox", VirtualBoxOptions(), PATIENCE)


@contextmanager
def _efer(on: int, off: int) -> Iterator[None]:
    _set(on, off)
    try:
        yield
    finally:
        _set(off, on)


def _set(on: int, off: int) -> None:
    for cpu in Path("/dev/cpu").iterdir():
        if cpu.name.isdigit():
            register = os.open(cpu / "msr", os.O_RDWR)
            try:
                (value,) = struct.unpack("<Q", os.pread(register, 8, EFER))
                os.pwrite(register, struct.pack("<Q", (value | on) & ~off), EFER)
            finally:
                os.close(register)
