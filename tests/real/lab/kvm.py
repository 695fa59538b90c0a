"""libvirt with a real KVM keeps every promise of the contract on Linux guests; to be run in the lab."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from tests.real.lab import suspend
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


ASLEEP = """\
name: asleep
guest: {image: tiny, cpus: 1, memory: 192MiB, ready: {http: {port: 80, interval: 2s}}}
backends: {kvm: {kind: libvirt, options: {uri: "qemu:///embed", accelerator: kvm}}}
metrics: {startup: {}, memory: {settle: 15s}}
trials: {count: 3, warmup: 0, timeout: 10m, stop_timeout: 2m}
"""


def test_a_machine_outlives_a_sleep_of_its_host(tmp_path: Path) -> None:
    """While it boots, and when it is ready; the third trial is as any other."""
    with suspend.Run(tmp_path, ASLEEP) as run:
        run.until(1, "ready")
        asleep = [suspend.sleep()]
        run.until(2, "observe")
        asleep.append(suspend.sleep())
        assert run.process.wait(900) == 0
        done = run.done()
    assert [one["outcome"] for one in done] == ["measured"] * 3, done
    told = [[of["what"] for of in one["findings"] if of["code"] == "host.suspended"] for one in done]
    assert [len(whats) for whats in told] == [1, 1, 0]
    for (what,), length in zip(told[:2], asleep, strict=True):
        assert abs(suspend.seconds_in(what) - length) < 0.2
