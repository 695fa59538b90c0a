"""One machine of VirtualBox: its whole life, from a settings file to nothing."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vmvc.backends.init_channel import InitChannel
from vmvc.backends.ssh import Ssh
from vmvc.backends.ssh_login import into_made
from vmvc.backends.storage import BLOCK
from vmvc.backends.streams import Pump, drained
from vmvc.backends.virtualbox_files import Files
from vmvc.backends.virtualbox_machine import end, find, forget, press_until_gone, start
from vmvc.backends.virtualbox_manage import Manage
from vmvc.backends.virtualbox_process import Process, daemons
from vmvc.backends.virtualbox_settings import Template
from vmvc.contract import ByteStream, Completed, DiskUsage, Guest, Instance, Limits, Marks, Processes, Tag
from vmvc.errors import (
    CleanupError,
    EngineError,
    GuestDied,
    StepFailed,
    Unavailable,
    VmvcError,
)
from vmvc.images import MACHINE_LINES, OWN_DISK_LINES, OWN_DISK_SILENT, VdiBoot

FORWARDS_WITHIN: Final = 5.0
"""Seconds for a running machine to listen at its forwarded ports."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What instances of one guest are made from."""

    boot: VdiBoot
    template: Template


class VirtualBoxInstance(Instance):
    """A machine that VirtualBox knows from ``create`` to ``destroy``."""

    hides_memory = True

    def __init__(self, tag: Tag, guest: Guest, manage: Manage, prepared: Prepared | None) -> None:
        super().__init__(tag, guest)
        self._manage = manage
        self._prepared = prepared
        self._files = Files(tag)
        self._identity = ""
        self._process: Process | None = None
        self._console: Pump | None = None
        self._channel: InitChannel | Ssh | None = None
        self._ports: Mapping[int, int] = {}
        self._forwarded: set[int] = set()

    def marks(self) -> Marks:
        """Return the lines of vmvc's own init and of the kernel; a disk of one's own prints none of its."""
        if self._prepared is not None and self._prepared.boot.medium is None:
            return Marks(OWN_DISK_LINES, OWN_DISK_SILENT)
        return Marks(MACHINE_LINES)

    def create(self) -> None:
        """Write the machine's files and have VirtualBox know it."""
        if self._prepared is None:
            raise EngineError("the guest was not prepared for this backend", hint="call prepare() first")
        self._ports = {port: free_port() for port in self.guest.forwarded}
        self._identity = str(self._files.make(self._prepared.template, self._ports))
        self._manage.run("registervm", self._files.settings, doing="take up the machine")

    def start(self) -> None:
        if not self._identity or self._prepared is None:
            raise StepFailed("there is nothing to start", hint="call create() first")
        start(self._manage, self._identity)
        self._console = drained(self._files.accept("console"), f"console of {self.tag.name}")
        channel = self._files.accept("channel")
        if self.guest.ssh is not None:
            channel.close()
            self._channel = Ssh(into_made(self.guest, self._files.folder), self.endpoint, self.alive)
        elif self._prepared.boot.channel == "init":
            self._channel = InitChannel(channel, serial=True)
        else:
            channel.close()
        self._process = Process.of(self._identity)

    def endpoint(self, port: int) -> tuple[str, int]:
        """Return the loopback port that VirtualBox forwards.

        Raises: StepFailed, also where another program listens at that port; GuestDied.
        """
        outside = self._ports.get(port)
        if outside is None:
            raise StepFailed(f"port {port} of the guest is not forwarded", hint="name it in guest.ready")
        if port not in self._forwarded:
            self._must_listen(outside)
            self._forwarded.add(port)
        return "127.0.0.1", outside

    def console(self) -> ByteStream:
        if self._console is None:
            raise Unavailable("only the process that started a machine can read its console")
        return self._console

    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
        """Run a command by SSH, or by the machine's second serial port, some 10 KB a second."""
        if self._channel is None:
            raise Unavailable(
                "this guest offers no way to run a command in it",
                hint="let commands in by SSH: guest.ssh",
            )
        with self._blaming_the_end():
            return self._channel.run(argv, timeout=timeout, stdin=stdin)

    def alive(self) -> bool:
        return self._process is not None and self._process.alive()

    def processes(self) -> Processes:
        """Return the machine's own process and, as shared, VirtualBox's daemons of this user."""
        process = self._running()
        return Processes((process.pid,), shared=daemons(process))

    def cgroup(self) -> Path | None:
        """Return none: VirtualBox's daemon makes no cgroups for machines."""
        return None

    def disk(self) -> DiskUsage:
        """Count the differencing disks as unique; the image's disk and the boot medium as shared."""
        if self._prepared is None:
            raise Unavailable("only the process that made a machine knows its disks")
        boot = self._prepared.boot
        if not hasattr(os.stat_result, "st_blocks"):
            raise Unavailable("this host does not tell the blocks that a file takes")
        shared = _blocks(one.path for one in boot.disks.values())
        unique = _blocks(self._files.overlay(name) for name in boot.disks)
        if boot.disk is None:
            absent = {"virtual": "the guest has no disk: its root file system is in memory"}
            return DiskUsage(None, shared + unique, shared, unique, absent)
        return DiskUsage(boot.disk.size, shared + unique, shared, unique)

    def limits(self) -> Limits:
        """Return the machine's size: a guest cannot have more CPUs and memory than there are in it."""
        made, absent = self.guest.made, {"pids": "no limit is set: the guest's own kernel decides"}
        return Limits(float(made.cpus), made.memory, None, "machine", absent)

    def stop(self, *, timeout: float) -> None:
        """Press the power button, and return when the machine's process has ended."""
        if self._process is None:
            raise StepFailed("there is nothing to stop", hint="call start() first")
        press_until_gone(self._manage, self._identity, self._process, timeout)

    def destroy(self) -> None:
        self._release()
        try:
            record = self._files.record()
            identity = self._identity or (record.identity if record is not None else "")
            if not identity and record is None:
                identity = find(self._manage, self.tag)
            if identity:
                end(self._manage, identity)
                forget(self._manage, identity)
            self._files.remove()
        except VmvcError as error:
            raise CleanupError(f"{self.tag.name} may remain: {error.what}", hint=error.hint) from error
        self._process, self._identity = None, ""

    def _release(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._console is not None:
            self._console.close()
            self._console = None

    def _running(self) -> Process:
        if self._process is None or not self._process.alive():
            raise Unavailable("the machine does not run, or was started by another process")
        return self._process

    def _must_listen(self, port: int) -> None:
        deadline = time.monotonic() + FORWARDS_WITHIN
        with self._blaming_the_end():
            while self._process is None or self._process.listens(port) is False:
                if self._process is None or not self._process.alive() or time.monotonic() > deadline:
                    raise StepFailed(
                        f"VirtualBox does not listen at port {port} of this host",
                        hint="another program may have taken it meanwhile: try again",
                    )
                time.sleep(0.02)

    @contextmanager
    def _blaming_the_end(self) -> Iterator[None]:
        """Name the end of the machine as the cause of whatever fails because of it."""
        try:
            yield
        except StepFailed as error:
            if self.alive():
                raise
            raise GuestDied("the machine has ended", hint="read the guest's console") from error


def free_port() -> int:
    """Return a port of the loopback that nobody listens at now."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def _blocks(paths: Iterator[Path]) -> int:
    return sum(one.st_blocks * BLOCK for one in (path.stat() for path in paths))
