"""A guest -> a virtual machine of QEMU, accelerated by KVM or emulated, made through libvirt."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Final, Literal, cast

import psutil
from pydantic import Field

from vmvc import images, owner
from vmvc.backends import libvirt_disk, libvirt_files, libvirt_host, libvirt_survey, ssh_login
from vmvc.backends.held import held
from vmvc.backends.libvirt_connection import EMBED, SYSTEM, Drivers, root_of
from vmvc.backends.libvirt_definition import Definition
from vmvc.backends.libvirt_domain import ACCELERATED, MICROVM, Boot, Hardware
from vmvc.backends.libvirt_instance import LibvirtInstance, Prepared
from vmvc.backends.libvirt_machine import KIND, LibvirtMachine
from vmvc.backends.libvirt_uri import AUTO, MAKERS, DriverUri, driver_of
from vmvc.contract import Backend, Finding, Guest, Isolation, Options, Preparation, Scalar, Severity, Tag
from vmvc.errors import EngineError, Fault, InputError, StepFailed, Unavailable
from vmvc.spec import BUILT_IN_IMAGES, GuestSpec
from vmvc.units import show_bytes

_ANY_GUEST: Final = Guest(
    image=BUILT_IN_IMAGES["tiny"], cpus=1, memory=GuestSpec().memory, ready=GuestSpec().ready
)
"""Stands for the guest of a machine that is only to be removed."""


class LibvirtOptions(Options):
    """Options of the backend."""

    uri: DriverUri = Field(
        default=AUTO,
        description="libvirt's driver: `auto` is the system's daemon where one answers, else the driver that "
        "runs inside vmvc (`qemu:///embed`), which needs no daemon and no root. With these, "
        "`qemu:///system` and `qemu:///session` vmvc makes machines; with any other driver (`lxc:///`, "
        "`esx://HOST/`, `vbox:///session`, `qemu+ssh://HOST/system`...) it runs those that exist already.",
        examples=["qemu:///system", "lxc:///", "test:///default"],
    )
    accelerator: Literal["auto", "kvm", "tcg"] = Field(
        default="auto",
        description="`kvm`, or `tcg` (emulation, 10 to 50 times slower); `auto` is kvm where /dev/kvm can be "
        "used and the CPU shows vmx or svm.",
    )
    machine: Literal["q35", "pc", "microvm"] = Field(
        default="q35", description="QEMU's machine type; `microvm` boots kernels only and has no PCI bus."
    )
    cpu: Literal["auto", "host-passthrough", "host-model", "maximum"] = Field(
        default="auto",
        description="The CPU that the guest sees; `auto` is host-passthrough with kvm, maximum with tcg.",
    )
    hide_cpu_features: tuple[str, ...] = Field(
        default=(), description="CPU features to hide from the guest.", examples=[["arch-capabilities"]]
    )
    disk_bus: Literal["virtio", "sata", "ide"] = Field(
        default="virtio", description="How the disk is attached; `ide` needs machine `pc`."
    )
    disk_cache: Literal["none", "writeback", "writethrough", "directsync", "unsafe"] = Field(
        default="writeback",
        description="Cache mode of the disk; use `none` where storage is measured, since with the others a "
        "guest's reads can hit the host's memory.",
    )


class LibvirtBackend(Backend):
    """Virtual machines of one libvirt driver; the connection is made when it is first needed."""

    kind: ClassVar[str] = "libvirt"
    isolation: ClassVar[Isolation] = Isolation.VM
    options_model: ClassVar[type[Options]] = LibvirtOptions
    says: ClassVar[str] = (
        "virtual machines of QEMU, by KVM or emulated, through libvirt; or any that exist there"
    )
    machines: ClassVar[bool] = True

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options)
        self._options = cast("LibvirtOptions", options)
        self._drivers = Drivers(self._options.uri)
        self._prepared: dict[str, Prepared] = {}
        self._existing: Definition | None = None

    def isolated_by(self) -> Isolation:
        container = driver_of(self._options.uri) in ("lxc", "openvz")
        return Isolation.CONTAINER if container else Isolation.VM

    def check(self) -> Sequence[Finding]:
        try:
            connection = self._drivers.own()
            if self._options.uri not in MAKERS:
                return list(libvirt_survey.findings(connection))
            machines = libvirt_host.machines(connection.capabilities())
        except EngineError as error:
            return [Finding("libvirt.unreachable", Severity.ERROR, error.what, error.hint)]
        privileged = connection.uri == SYSTEM or (root_of(connection.uri) is not None and os.geteuid() == 0)
        return [
            *_judge_machine(self._options.machine, machines),
            *libvirt_host.findings(self._options.accelerator, privileged=privileged),
        ]

    def settled(self) -> Mapping[str, Scalar]:
        """Return the driver that ``auto`` has chosen: a run never goes on with another one."""
        if self._options.uri != AUTO:
            return {}
        return {"uri": EMBED if root_of(self._drivers.own().uri) is not None else SYSTEM}

    def describe(self) -> Mapping[str, Scalar]:
        try:
            connection = self._drivers.own()
            if self._options.uri not in MAKERS or self._existing is not None:
                return libvirt_survey.describe(connection, self._existing)
            versions = connection.versions()
            capabilities = connection.capabilities()
        except EngineError:
            return {}
        hardware = self._hardware(capabilities)
        return {
            **versions,
            "uri": EMBED if root_of(connection.uri) is not None else connection.uri,
            "accelerator": "kvm" if hardware.accelerator == ACCELERATED else "tcg",
            "emulated": hardware.accelerator != ACCELERATED,
            "machine": libvirt_host.machines(capabilities).get(hardware.machine, ""),
            "cpu": hardware.cpu,
            "disk_bus": hardware.disk_bus,
            "disk_cache": hardware.disk_cache,
            "network": "user (virtio)",
            "balloon": "none",
            "confinement_lifted": " ".join(hardware.confinements),
            "other_drivers": libvirt_host.drivers(),
            **libvirt_host.facts(),
        }

    def prepare(self, guest: Guest) -> Preparation:
        """Have the image made, and libvirt make the machine once without letting it run.

        Raises: EngineError, ImageError, InputError.
        """
        if guest.machine is not None:
            preparation, self._existing = libvirt_survey.prepare(self._drivers.own(), guest)
            return preparation
        if self._options.uri not in MAKERS:
            what = (
                f"with options.uri: {self._options.uri} vmvc runs machines that exist already, and makes none"
            )
            raise InputError(Fault(what, hint="name one: guest: {machine: NAME}; or leave options.uri out"))
        connection = self._drivers.own()
        capabilities = connection.capabilities()
        hardware = self._hardware(capabilities)
        there = psutil.virtual_memory().total
        if guest.made.memory > there:
            got = show_bytes(guest.made.memory)
            what = f"guest.memory is more than the host's {show_bytes(there)}, got {got}"
            raise InputError(Fault(what, hint="lower guest.memory"))
        ssh_login.check(guest)
        bootable = images.bootable(guest)
        if bootable.kernel is None and hardware.machine == MICROVM:
            raise InputError(
                Fault(
                    "machine type microvm boots kernels, not disks", hint="choose options.machine: q35 or pc"
                )
            )
        if bootable.kernel is not None and hardware.disk_bus != "virtio":
            what = f"vmvc's kernel finds its disk on the bus virtio only, got {hardware.disk_bus}"
            raise InputError(Fault(what, hint="leave options.disk_bus out"))
        disk = () if bootable.disk is None else libvirt_disk.chain(bootable.disk, bootable.disk_format)
        boot = Boot(
            kernel=bootable.kernel,
            initrd=bootable.initrd,
            append=f"{bootable.append} {_clock(hardware, capabilities)}".strip(),
            chain=tuple((layer.path, layer.format) for layer in disk),
            channel=bootable.channel,
        )
        overlay = libvirt_disk.overlay(disk[0]) if disk else b""
        prepared = Prepared(boot, hardware, overlay, disk[0].size if disk else None)
        rehearsal = Tag(f"rehearsal-{secrets.token_hex(4)}", 0, owner.current())
        try:
            xml, command_line = LibvirtInstance(rehearsal, guest, self._drivers, prepared).rehearse()
        except StepFailed as error:
            raise EngineError(error.what, hint=error.hint) from error
        self._prepared[repr(guest)] = prepared
        facts: dict[str, Scalar] = {
            **bootable.facts,
            **({"kernel_arguments": boot.append} if boot.kernel is not None else {}),
            "image_digest": bootable.digest,
            "commands": "ssh" if guest.ssh is not None else boot.channel,
            "domain_xml": xml,
            "command_line": command_line,
        }
        return Preparation(facts, (*libvirt_host.memory_findings(guest.made.memory), *_pids_findings(guest)))

    def forget(self, guest: Guest) -> None:
        if guest.machine is not None:
            raise Unavailable(f"the machine {guest.machine!r} exists already and is never removed")
        images.discard_bootable(guest)

    def fetch(self, guest: Guest) -> None:
        images.bootable(guest)

    def instance(self, tag: Tag, guest: Guest) -> LibvirtInstance | LibvirtMachine:
        if guest.machine is not None:
            return LibvirtMachine(tag, guest, self._drivers)
        return LibvirtInstance(tag, guest, self._drivers, self._prepared.get(repr(guest)))

    def leftovers(self) -> Sequence[LibvirtInstance | LibvirtMachine]:
        """Return what vmvc made, and the machines of users here that a trial has started.

        Those of another place wait for a run or a clean that names it: its engine may be gone for good.
        """
        running = [
            LibvirtMachine(note.tag, replace(_ANY_GUEST, machine=note.machine), self._drivers)
            for note in held(KIND)
            if self._is_here(note.place)
        ]
        if self._options.uri not in MAKERS:
            return running
        return [*running, *self._made()]

    def _is_here(self, place: str) -> bool:
        if self._options.uri not in MAKERS:
            return place == self._options.uri
        return place in (SYSTEM, self._drivers.own().uri)

    def _made(self) -> Sequence[LibvirtInstance]:
        """Return what has files, of any driver, and the machines of this daemon and of the system's.

        A machine of an embedded driver lives beside its files, and may end behind its driver's back.
        """
        connections = (self._drivers.own(), self._drivers.system())
        daemons = [one for one in connections if one is not None and root_of(one.uri) is None]
        found = {tag: daemon.uri for daemon in daemons for tag in daemon.tags()}
        found |= {record.tag: record.uri for record in libvirt_files.records()}
        return [LibvirtInstance(tag, _ANY_GUEST, self._drivers, None, uri) for tag, uri in found.items()]

    def close(self) -> None:
        self._drivers.close()

    def _hardware(self, capabilities: str) -> Hardware:
        options = self._options
        accelerator = libvirt_host.domain_type(options.accelerator)
        automatic = "host-passthrough" if accelerator == ACCELERATED else "maximum"
        return Hardware(
            accelerator=accelerator,
            machine=options.machine,
            cpu=automatic if options.cpu == "auto" else options.cpu,
            hidden=options.hide_cpu_features,
            disk_bus=options.disk_bus,
            disk_cache=options.disk_cache,
            owner=libvirt_host.owner(capabilities),
            confinements=libvirt_host.confinements(capabilities),
        )


def _pids_findings(guest: Guest) -> Iterator[Finding]:
    if guest.pids is not None:
        yield Finding(
            "libvirt.pids",
            Severity.INFO,
            "a machine's own kernel decides how many processes it runs: guest.pids limits nothing there",
            "compare without guest.pids, or set kernel.pid_max in the guest",
        )


def _clock(hardware: Hardware, capabilities: str) -> str:
    """Return the kernel argument that spares an emulated guest the calibration of its clock.

    Calibration fails on a busy host, and microvm then hangs at boot.
    """
    if hardware.accelerator == ACCELERATED:
        return ""
    khz = libvirt_host.tsc_khz(capabilities)
    return images.emulated_clock() if khz is None else f"tsc_early_khz={khz}"


def _judge_machine(wanted: str, there: Mapping[str, str]) -> Iterator[Finding]:
    if not there:
        yield Finding(
            "libvirt.qemu-missing",
            Severity.ERROR,
            "libvirt finds no QEMU for x86_64 machines",
            "sudo apt-get install qemu-system-x86",
        )
    elif wanted not in there:
        yield Finding(
            "libvirt.machine",
            Severity.ERROR,
            f"QEMU has no machine type '{wanted}' here",
            f"choose another options.machine: {', '.join(sorted({'q35', 'pc', 'microvm'} & set(there)))}",
        )
