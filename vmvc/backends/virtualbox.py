"""A guest -> a virtual machine of VirtualBox, driven by VBoxManage alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Final, cast

import psutil
from pydantic import Field

from vmvc import images
from vmvc.backends import ssh_login, virtualbox_files, virtualbox_host
from vmvc.backends.held import held
from vmvc.backends.virtualbox_existing import KIND, VirtualBoxMachine
from vmvc.backends.virtualbox_instance import Prepared, VirtualBoxInstance
from vmvc.backends.virtualbox_machine import tagged
from vmvc.backends.virtualbox_manage import PATIENCE, Manage
from vmvc.backends.virtualbox_survey import find
from vmvc.backends.virtualbox_template import template
from vmvc.contract import Backend, Finding, Guest, Isolation, Options, Preparation, Scalar, Severity, Tag
from vmvc.errors import EngineError, Fault, InputError, StepFailed, Unavailable
from vmvc.spec import BUILT_IN_IMAGES, GuestSpec
from vmvc.units import show_bytes

_ANY_GUEST: Final = Guest(
    image=BUILT_IN_IMAGES["tiny"], cpus=1, memory=GuestSpec().memory, ready=GuestSpec().ready
)
"""Stands for the guest of a machine that is only to be removed."""


class VirtualBoxOptions(Options):
    """Options of the backend."""

    vboxmanage: str | None = Field(
        default=None,
        description="Path of VBoxManage; by default it is looked for on PATH and where VirtualBox is usually "
        "installed.",
    )
    kernel_arguments: tuple[str, ...] = Field(
        default=(),
        description="More arguments for the kernel that vmvc's images boot; recorded with the run.",
        examples=[["mitigations=off"]],
    )


class VirtualBoxBackend(Backend):
    """Machines of this user's VirtualBox; ``patience``: the most seconds for VBoxManage to do one thing."""

    kind: ClassVar[str] = "virtualbox"
    isolation: ClassVar[Isolation] = Isolation.VM
    options_model: ClassVar[type[Options]] = VirtualBoxOptions
    says: ClassVar[str] = "virtual machines of VirtualBox, through VBoxManage; or any that exist there"
    machines: ClassVar[bool] = True

    def __init__(self, name: str, options: Options, patience: float = PATIENCE) -> None:
        super().__init__(name, options)
        self._options = cast("VirtualBoxOptions", options)
        self._manage = Manage(self._options.vboxmanage, patience)
        self._prepared: dict[str, Prepared] = {}

    def check(self) -> Sequence[Finding]:
        try:
            self._manage.version()
        except EngineError as error:
            return [Finding("virtualbox.unreachable", Severity.ERROR, error.what, error.hint)]
        return list(virtualbox_host.findings())

    def describe(self) -> Mapping[str, Scalar]:
        try:
            version = self._manage.version()
        except EngineError:
            return {}
        return {
            "virtualbox_version": version,
            "accelerator": "VT-x or AMD-V",
            "disk_bus": "virtio-scsi",
            "disk_cache": "none",
            "network": "nat (virtio)",
            "kernel_arguments_added": " ".join(self._options.kernel_arguments),
            **virtualbox_host.facts(),
        }

    def prepare(self, guest: Guest) -> Preparation:
        """Have the image made, and VirtualBox make the machine once, which trials copy.

        Raises: EngineError, ImageError, InputError.
        """
        if guest.machine is not None:
            return self._look_up(guest)
        version = self._manage.version()
        _judge(guest)
        ssh_login.check(guest)
        boot = images.vdi_boot(guest, self._options.kernel_arguments)
        prepared = Prepared(boot, template(self._manage, version, guest, boot))
        self._prepared[repr(guest)] = prepared
        facts: dict[str, Scalar] = {
            **boot.facts,
            "image_digest": boot.digest,
            "commands": "ssh" if guest.ssh is not None else boot.channel,
            "machine_settings": prepared.template.settings.decode(),
        }
        return Preparation(facts)

    def _look_up(self, guest: Guest) -> Preparation:
        """Find a machine that exists already; nothing of it is touched.

        Raises: InputError, EngineError.
        """
        if guest.cpuset is not None:
            what = f"VirtualBox cannot keep a machine on chosen CPUs, got {guest.cpu_list}"
            raise InputError(Fault(what, hint="leave the CPUs to the host for this backend"))
        ssh_login.check(guest)
        try:
            return Preparation(find(self._manage, guest).facts())
        except StepFailed as error:
            raise EngineError(error.what, hint=error.hint) from error

    def forget(self, guest: Guest) -> None:
        if guest.machine is not None:
            raise Unavailable(f"the machine {guest.machine!r} exists already and is never removed")
        images.discard_vdi_boot(guest, self._options.kernel_arguments)

    def fetch(self, guest: Guest) -> None:
        boot = images.vdi_boot(guest, self._options.kernel_arguments)
        self._prepared[repr(guest)] = Prepared(
            boot, template(self._manage, self._manage.version(), guest, boot)
        )

    def instance(self, tag: Tag, guest: Guest) -> VirtualBoxInstance | VirtualBoxMachine:
        if guest.machine is not None:
            return VirtualBoxMachine(tag, guest, self._manage)
        return VirtualBoxInstance(tag, guest, self._manage, self._prepared.get(repr(guest)))

    def leftovers(self) -> Sequence[VirtualBoxInstance | VirtualBoxMachine]:
        """Return what has files, what VirtualBox knows by group and description, and users' machines."""
        started = [
            VirtualBoxMachine(note.tag, replace(_ANY_GUEST, machine=note.machine), self._manage)
            for note in held(KIND)
        ]
        tags = {record.tag: None for record in virtualbox_files.records()}
        tags |= {tag: None for tag, _ in tagged(self._manage)}
        return [*started, *(VirtualBoxInstance(tag, _ANY_GUEST, self._manage, None) for tag in tags)]


def _judge(guest: Guest) -> None:
    """Refuse what VirtualBox cannot do.

    Raises: InputError.
    """
    faults = []
    if guest.cpuset is not None:
        faults.append(
            Fault(
                f"VirtualBox cannot keep a machine on chosen CPUs, got {guest.cpu_list}",
                hint="leave the CPUs to the host for this backend",
            )
        )
    memory, there = guest.made.memory, psutil.virtual_memory().total
    if memory % 2**20:
        faults.append(
            Fault(
                f"VirtualBox gives memory in whole MiB, got {memory} B",
                hint=f"set guest.memory: {max(4, memory >> 20)}MiB",
            )
        )
    if memory > there:
        faults.append(
            Fault(
                f"guest.memory is more than the host's {show_bytes(there)}, got {show_bytes(memory)}",
                hint="lower guest.memory",
            )
        )
    if faults:
        raise InputError(faults)
