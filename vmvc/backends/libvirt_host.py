"""This host's KVM and the options -> the accelerator to use, and findings about it."""

from __future__ import annotations

import grp
import os
import platform
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Literal
from xml.etree import ElementTree

import psutil

from vmvc.backends.libvirt_domain import ACCELERATED, EMULATED
from vmvc.backends.libvirt_uri import DRIVERS
from vmvc.contract import Finding, Severity

DAC: Final = "dac"
"""libvirt's module that gives files and QEMU an owner; the others confine it further."""
KVM = Path("/dev/kvm")
CPUINFO = Path("/proc/cpuinfo")
Wanted = Literal["auto", "kvm", "tcg"]


def domain_type(wanted: Wanted) -> str:
    """Return libvirt's name of the accelerator; ``auto`` is KVM where it is certain to boot a guest."""
    if wanted == "auto":
        return ACCELERATED if _usable() and _hardware_virtualisation() else EMULATED
    return ACCELERATED if wanted == "kvm" else EMULATED


def facts() -> Mapping[str, bool]:
    """Say whether this host is itself a guest and whether its KVM lets guests have KVM (where it tells)."""
    found = {"host_is_virtual": "hypervisor" in _cpu_flags()}
    for module in ("kvm_intel", "kvm_amd"):
        parameter = Path(f"/sys/module/{module}/parameters/nested")
        if parameter.exists():
            found["kvm_nested"] = parameter.read_text().strip() in ("1", "Y")
    return found


def drivers() -> str:
    """Name libvirt's drivers whose parts are installed here, besides QEMU's."""
    places = ("/usr/lib/*/libvirt", "/usr/lib*/libvirt")
    parts = [one for place in places for one in Path("/").glob(f"{place[1:]}/connection-driver/*.so")]
    names = {one.stem.removeprefix("libvirt_driver_") for one in parts}
    return " ".join(sorted(names & set(DRIVERS) - {"qemu"}))


def findings(wanted: Wanted, *, privileged: bool) -> Iterator[Finding]:
    """Judge the accelerator; ``privileged``: the driver runs as root and tries /dev/kvm as its own user."""
    if platform.machine() != "x86_64":
        yield Finding(
            "libvirt.architecture",
            Severity.ERROR,
            f"machines of this backend are x86_64, and this host is {platform.machine()}",
            "use an x86_64 host",
        )
    if domain_type(wanted) == EMULATED:
        yield Finding(
            "libvirt.emulated",
            Severity.WARNING,
            "the machine is emulated (tcg): its figures are not those of hardware virtualisation",
            "use a host with KVM, and options.accelerator: kvm" if wanted == "tcg" else _cure(),
        )
    elif not KVM.exists():
        yield Finding("libvirt.kvm-missing", Severity.ERROR, "this host has no /dev/kvm", _cure())
    elif not _usable():
        yield Finding(
            "libvirt.kvm-permission",
            Severity.ERROR,
            "this user may not use /dev/kvm",
            _cure(),
        )
    elif not _hardware_virtualisation():
        yield Finding(
            "libvirt.kvm-doubtful",
            Severity.WARNING,
            "/dev/kvm is there, but the CPU shows neither vmx nor svm: ordinary kernels may never boot",
            "use options.accelerator: tcg unless you know better",
        )
    if privileged and KVM.exists() and not _open_to_group():
        yield Finding(
            "libvirt.kvm-group",
            Severity.WARNING,
            "/dev/kvm does not belong to the group kvm: libvirt examines QEMU anew for every machine, "
            "which takes up to a minute",
            "sudo chgrp kvm /dev/kvm && sudo chmod 660 /dev/kvm",
        )


def memory_findings(wanted: int) -> Iterator[Finding]:
    """Judge whether the host has free what a guest may come to use."""
    free = psutil.virtual_memory().available
    if wanted > free:
        yield Finding(
            "libvirt.memory",
            Severity.WARNING,
            f"the guest may use {wanted >> 20} MiB, and the host has {free >> 20} MiB available",
            "lower guest.memory, or end what uses the memory",
        )


def machines(capabilities: str) -> Mapping[str, str]:
    """Return the x86_64 machine types that QEMU has here, each with the version that it stands for."""
    root = ElementTree.fromstring(capabilities)
    found = root.iterfind("./guest[os_type='hvm']/arch[@name='x86_64']//machine")
    return {one.text or "": one.get("canonical", one.text or "") for one in found}


def confinements(capabilities: str) -> tuple[str, ...]:
    """Return the security modules with which libvirt would confine QEMU here."""
    root = ElementTree.fromstring(capabilities)
    models = [one.text or "" for one in root.iterfind("./host/secmodel/model")]
    return tuple(model for model in models if model not in ("none", DAC))


def owner(capabilities: str) -> str | None:
    """Return whom QEMU is to run as: this user, in the group of libvirt's own user for QEMU.

    The user can read the images and the group can enter libvirt's folders. ``None`` where QEMU runs as this
    user anyway.
    """
    root = ElementTree.fromstring(capabilities)
    for model in root.iterfind("./host/secmodel"):
        if model.findtext("model") == DAC:
            group = (model.findtext("baselabel") or "").partition(":")[2]
            return f"+{os.geteuid()}:{group or f'+{os.getegid()}'}"
    return None


def tsc_khz(capabilities: str) -> int | None:
    """Return the rate of the CPU's time stamp counter; ``None`` where libvirt does not know it."""
    counter = ElementTree.fromstring(capabilities).find("./host/cpu/counter[@name='tsc']")
    return None if counter is None else int(counter.get("frequency", "0")) // 1000 or None


def _usable() -> bool:
    return os.access(KVM, os.R_OK | os.W_OK)


def _hardware_virtualisation() -> bool:
    return bool({"vmx", "svm"} & _cpu_flags())


def _open_to_group() -> bool:
    status = KVM.stat()
    try:
        group = grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        group = ""
    everybody = stat.S_IROTH | stat.S_IWOTH
    members = stat.S_IRGRP | stat.S_IWGRP
    return status.st_mode & everybody == everybody or (group == "kvm" and status.st_mode & members == members)


def _cpu_flags() -> frozenset[str]:
    for line in CPUINFO.read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return frozenset(value.split())
    return frozenset()


def _cure() -> str:
    if KVM.exists() and not _usable():
        return "sudo usermod -aG kvm $USER, then log in again"
    if not _hardware_virtualisation():
        return "switch on virtualisation in the firmware (nested virtualisation for a virtual host)"
    return "sudo modprobe kvm_intel (or kvm_amd)"
