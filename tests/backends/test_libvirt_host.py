"""Which accelerator is used, and what is found wrong with it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vmvc.backends import libvirt_host
from vmvc.contract import Severity

CAPABILITIES = """<capabilities>
  <host><cpu><counter name='tsc' frequency='2596134000' scaling='no'/></cpu>
    <secmodel><model>none</model></secmodel><secmodel><model>apparmor</model></secmodel>
    <secmodel><model>dac</model><baselabel type='kvm'>+108:+64055</baselabel>
    <baselabel type='qemu'>+108:+64055</baselabel></secmodel></host>
  <guest><os_type>hvm</os_type><arch name='i686'><machine>isapc</machine></arch></guest>
  <guest><os_type>hvm</os_type><arch name='x86_64'><machine canonical='pc-q35-7.2'>q35</machine>
    <machine>microvm</machine><domain type='kvm'><machine>pc-old</machine></domain></arch></guest>
</capabilities>"""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a host without KVM and without virtualisation."""
    monkeypatch.setattr(libvirt_host, "KVM", tmp_path / "kvm")
    monkeypatch.setattr(libvirt_host, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nflags\t\t: fpu sse4_2\n")
    return tmp_path


def with_kvm(host: Path, mode: int = 0o666) -> None:
    (host / "kvm").touch()
    (host / "kvm").chmod(mode)


def with_virtualisation(host: Path, flag: str = "vmx") -> None:
    (host / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: fpu {flag} sse4_2\n")


def codes(wanted: libvirt_host.Wanted, *, privileged: bool = False) -> dict[str, Severity]:
    found = list(libvirt_host.findings(wanted, privileged=privileged))
    assert all(finding.remedy for finding in found)
    return {finding.code.removeprefix("libvirt."): finding.severity for finding in found}


@pytest.mark.parametrize("flag", ["vmx", "svm"])
def test_auto_takes_kvm_where_it_is_certain(host: Path, flag: str) -> None:
    with_kvm(host)
    with_virtualisation(host, flag)
    assert libvirt_host.domain_type("auto") == "kvm"
    assert codes("auto") == {}


def test_auto_wants_the_cpus_word_for_it(host: Path) -> None:
    with_kvm(host)
    assert libvirt_host.domain_type("auto") == "qemu"
    assert codes("auto") == {"emulated": Severity.WARNING}


def test_auto_wants_the_device(host: Path) -> None:
    with_virtualisation(host)
    assert libvirt_host.domain_type("auto") == "qemu"
    assert codes("auto") == {"emulated": Severity.WARNING}


def test_auto_wants_a_device_that_this_user_may_use(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_kvm(host)
    with_virtualisation(host)
    monkeypatch.setattr(os, "access", lambda *_: False)
    (finding,) = libvirt_host.findings("auto", privileged=False)
    assert finding.remedy.startswith("sudo usermod -aG kvm")
    assert libvirt_host.domain_type("auto") == "qemu"
    assert codes("kvm") == {"kvm-permission": Severity.ERROR}


def test_kvm_without_the_device_is_an_error(host: Path) -> None:
    assert codes("kvm") == {"kvm-missing": Severity.ERROR}


def test_kvm_without_the_cpus_word_may_be_tried(host: Path) -> None:
    with_kvm(host)
    assert libvirt_host.domain_type("kvm") == "kvm"
    assert codes("kvm") == {"kvm-doubtful": Severity.WARNING}


def test_tcg_is_always_said(host: Path) -> None:
    with_kvm(host)
    with_virtualisation(host)
    assert libvirt_host.domain_type("tcg") == "qemu"
    assert codes("tcg") == {"emulated": Severity.WARNING}


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_a_device_of_root_alone_makes_libvirt_slow(host: Path, mode: int) -> None:
    with_kvm(host, mode)
    with_virtualisation(host)
    assert "kvm-group" in codes("tcg", privileged=True)
    assert "kvm-group" not in codes("tcg", privileged=False)


def test_a_device_for_everybody_is_fine(host: Path) -> None:
    with_kvm(host, 0o666)
    assert "kvm-group" not in codes("tcg", privileged=True)


def test_another_architecture_is_an_error(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert codes("tcg")["architecture"] is Severity.ERROR


def test_more_memory_than_is_free_is_a_finding() -> None:
    assert [one.code for one in libvirt_host.memory_findings(2**50)] == ["libvirt.memory"]
    assert list(libvirt_host.memory_findings(1)) == []


def test_machine_types_come_with_their_versions() -> None:
    assert libvirt_host.machines(CAPABILITIES) == {
        "q35": "pc-q35-7.2",
        "microvm": "microvm",
        "pc-old": "pc-old",
    }
    assert libvirt_host.machines("<capabilities><host/></capabilities>") == {}


def test_confinements_are_the_modules_that_do_more_than_own() -> None:
    assert libvirt_host.confinements(CAPABILITIES) == ("apparmor",)


def test_qemu_is_this_user_in_libvirts_group() -> None:
    assert libvirt_host.owner(CAPABILITIES) == f"+{os.geteuid()}:+64055"
    assert libvirt_host.owner("<capabilities><host/></capabilities>") is None
    alone = "<capabilities><host><secmodel><model>dac</model></secmodel></host></capabilities>"
    assert libvirt_host.owner(alone) == f"+{os.geteuid()}:+{os.getegid()}"


def test_the_counter_of_the_cpu() -> None:
    assert libvirt_host.tsc_khz(CAPABILITIES) == 2596134
    assert libvirt_host.tsc_khz("<capabilities><host/></capabilities>") is None
