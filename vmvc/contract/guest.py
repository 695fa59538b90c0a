"""What one condition asks for, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vmvc.errors import Fault, InputError
from vmvc.spec import DiskImage, Image, Ready, ReadyHttp, ReadyTcp
from vmvc.spec_machine import OWN_PORT, USUAL_PORT, Ssh


@dataclass(frozen=True, slots=True)
class Made:
    """What is asked for of a guest that vmvc makes; memory in bytes."""

    image: Image
    cpus: int
    memory: int


@dataclass(frozen=True, slots=True)
class Guest:
    """What one condition asks for, the same on every backend; ``folder`` anchors relative paths.

    ``image``, ``cpus`` and ``memory`` are ``None`` of a ``machine`` that exists already: it brings its own.
    """

    image: Image | None
    cpus: int | None
    memory: int | None
    ready: Ready
    command: tuple[str, ...] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    boot: Literal["command", "systemd"] = "command"
    folder: Path = Path()
    pids: int | None = None
    """Most processes and threads at a time; ``None``: no limit is asked for."""
    cpuset: tuple[int, ...] | None = None
    """CPUs of the host that all of the guest must stay on; ``None``: it is free."""
    machine: str | None = None
    """Name of a machine that the user has; it is started and stopped, and never changed or removed."""
    attach: bool = False
    """The machine runs already and is only observed: neither started nor stopped."""
    address: str | None = None
    """Where the host reaches the machine's ports; ``None``: the backend finds out."""
    ssh: Ssh | None = None
    """How commands get into a machine by SSH; ``None``: only by the backend's own way."""
    reach: tuple[int, ...] = ()
    """Guest ports that metrics must reach from the host."""

    @property
    def made(self) -> Made:
        """What vmvc is to make.

        Raises: InputError where the guest is a machine that exists already.
        """
        if self.image is None or self.cpus is None or self.memory is None:
            what = f"this backend runs no machine that exists already, got {self.machine!r}"
            raise InputError(Fault(what, hint="give it an image of its own: guest: {image: tiny}"))
        return Made(self.image, self.cpus, self.memory)

    @property
    def cpu_list(self) -> str:
        """``cpuset`` as the kernel, Docker and libvirt read it; "" where the guest is free."""
        return ",".join(map(str, self.cpuset or ()))

    @property
    def ports(self) -> tuple[int, ...]:
        """Guest ports that the host must reach."""
        match self.ready:
            case ReadyHttp(http=probe):
                probed: tuple[int, ...] = (probe.port,)
            case ReadyTcp(tcp=probe):
                probed = (probe.port,)
            case _:
                probed = ()
        return tuple(dict.fromkeys((*probed, *self.reach)))

    @property
    def forwarded(self) -> tuple[int, ...]:
        """Ports of a machine that the host must reach: those, and the one by which commands get in."""
        ssh = () if self.ssh_port is None else (self.ssh_port,)
        return tuple(dict.fromkeys((*self.ports, *ssh)))

    @property
    def brings_ssh(self) -> bool:
        """Say whether the machine is a user's, or boots a disk of the user's: its SSH server is its own."""
        return self.machine is not None or isinstance(self.image, DiskImage)

    @property
    def ssh_port(self) -> int | None:
        """The port by which commands get in by SSH; ``None`` where they do not."""
        if self.ssh is None:
            return None
        return self.ssh.port or (USUAL_PORT if self.brings_ssh else OWN_PORT)
