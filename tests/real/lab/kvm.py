"""libvirt with a real KVM keeps every promise of the contract on Linux guests; to be run in the lab."""

from __future__ import annotations

from typing import ClassVar

from vmvc.backends.libvirt import LibvirtBackend, LibvirtOptions
from vmvc.contract import Backend, Guest
from vmvc.spec import BUILT_IN_IMAGES, Http, ReadyHttp
from vmvc.testing import BackendContract


class TestKvm(BackendContract):
    timeout: ClassVar[float] = 600.0
    slack: ClassVar[float] = 60.0
    has_forget = True
    large = 2**16

    def backend(self) -> Backend:
        return LibvirtBackend("kvm", LibvirtOptions(uri="qemu:///embed", accelerator="kvm"))

    def guest(self) -> Guest:
        ready = ReadyHttp(http=Http(port=80, interval=2.0))
        return Guest(BUILT_IN_IMAGES["tiny"], cpus=1, memory=192 * 2**20, ready=ready)

    def test_it_is_accelerated(self) -> None:
        assert self.backend().describe()["accelerator"] == "kvm"
