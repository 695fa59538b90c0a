"""A driver of libvirt and a machine that exists there -> findings and facts of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from vmvc.backends import ssh_login
from vmvc.backends.libvirt_connection import Connection
from vmvc.backends.libvirt_definition import Definition
from vmvc.backends.libvirt_machine import find
from vmvc.backends.libvirt_uri import here
from vmvc.contract import Finding, Guest, Preparation, Scalar, Severity
from vmvc.errors import EngineError, Fault, InputError, StepFailed


def findings(connection: Connection) -> Iterator[Finding]:
    """Say what a driver does not show with which vmvc makes nothing.

    Raises: EngineError.
    """
    driver = connection.driver
    if driver == "TEST":
        yield Finding(
            "libvirt.mock",
            Severity.WARNING,
            "libvirt's test driver is a mock: its machines run nothing, so its numbers mean nothing",
            "use it for trying out experiments only",
        )
    elif not here(connection.uri) or driver not in ("QEMU", "LXC"):
        yield Finding(
            "libvirt.api-only",
            Severity.INFO,
            f"of machines of libvirt's driver {driver} at {connection.shown} this host sees no processes "
            "and no cgroup: memory and isolation have no values",
            "run vmvc on the machines' own host, where QEMU or LXC runs them",
        )


def describe(connection: Connection, found: Definition | None) -> dict[str, Scalar]:
    """Describe a driver; how it runs a machine is known once that was looked up.

    Raises: EngineError.
    """
    return {
        **connection.versions(),
        "uri": connection.shown,
        "driver": connection.driver,
        "local": here(connection.uri),
        **(_runs(found) if found is not None else {}),
    }


def _runs(found: Definition) -> dict[str, Scalar]:
    accelerator = {"kvm": "kvm", "qemu": "tcg"}.get(found.kind)
    return {
        "emulated": found.kind == "qemu",
        "domain_type": found.kind,
        **({"accelerator": accelerator} if accelerator is not None else {}),
    }


def prepare(connection: Connection, guest: Guest) -> tuple[Preparation, Definition]:
    """Look a machine up; nothing of it is touched.

    Raises: InputError, EngineError.
    """
    if guest.cpuset is not None:
        what = f"the machine {guest.machine!r} exists already: vmvc does not move it to CPUs of its own"
        raise InputError(Fault(what, hint="pin it in its own definition, or leave cpus out of tune"))
    ssh_login.check(guest)
    try:
        machine, found = find(connection, guest)
        xml = machine.xml()
    except StepFailed as error:
        raise EngineError(error.what, hint=error.hint) from error
    facts: Mapping[str, Scalar | None] = {
        "existing_machine": found.name,
        "existing_id": found.uuid,
        "existing_cpus": found.cpus,
        "existing_memory": found.memory,
        "domain_type": found.kind,
        "domain_xml": xml,
    }
    known = {name: value for name, value in facts.items() if value is not None}
    return Preparation(known, tuple(_emulated(found))), found


def _emulated(found: Definition) -> Iterator[Finding]:
    if found.kind == "qemu":
        yield Finding(
            "libvirt.emulated",
            Severity.WARNING,
            f"the machine {found.name!r} is emulated (tcg): some 10 to 50 times slower than with KVM",
            "compare it with other emulated machines only, or define it with type kvm",
        )
