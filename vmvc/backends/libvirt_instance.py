"""A tag and a prepared machine -> one running machine of libvirt, and what the host sees of it."""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vmvc.backends import libvirt_files, libvirt_process, proc
from vmvc.backends.init_channel import InitChannel
from vmvc.backends.libvirt_channel import Agent
from vmvc.backends.libvirt_connection import SYSTEM, Drivers, log_of, root_of
from vmvc.backends.libvirt_domain import Boot, Hardware, Places, domain_xml, mac
from vmvc.backends.libvirt_files import Files
from vmvc.backends.libvirt_process import Process
from vmvc.backends.libvirt_running import Domain
from vmvc.backends.ssh import Ssh
from vmvc.backends.ssh_login import into_made
from vmvc.backends.streams import Pump, drained
from vmvc.contract import ByteStream, Completed, DiskUsage, Guest, Instance, Limits, Marks, Processes, Tag
from vmvc.errors import (
    CleanupError,
    DeadlineExceeded,
    EngineError,
    GuestDied,
    StepFailed,
    Unavailable,
    VmvcError,
)
from vmvc.images import MACHINE_LINES, OWN_DISK_LINES, OWN_DISK_SILENT

DAEMONS: Final = ("libvirtd", "virtqemud", "virtlogd", "virtlockd")
"""libvirt's processes that serve every machine."""
PRESS_EVERY: Final = 0.25
"""Seconds after which the power button is pressed again: a guest that has not loaded its driver misses it."""
_FORWARD: Final = re.compile(r"TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s+\S+\s+(\d+)")


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that is the same for every trial of a guest."""

    boot: Boot
    hardware: Hardware
    overlay: bytes = b""
    """An empty overlay over the base disk, as ``qemu-img create -b`` writes it; empty without a disk."""
    size: int | None = None
    """Bytes of the disk that the guest sees."""


class LibvirtInstance(Instance):
    """One machine; libvirt knows it from ``start`` until it ends.

    QEMU runs as the user who runs vmvc: it can read what this user can, and nothing is opened to others. The
    console and the init's channel are sockets that listen before QEMU starts: no byte is lost, and QEMU's
    process is the one at the other end.
    """

    def __init__(
        self, tag: Tag, guest: Guest, drivers: Drivers, prepared: Prepared | None, uri: str | None = None
    ) -> None:
        super().__init__(tag, guest)
        self._uri = uri
        self._drivers = drivers
        self._prepared = prepared
        self._files = Files(tag)
        self._uuid = str(uuid.uuid4())
        self._places: Places | None = None
        self._xml = ""
        self._domain: Domain | None = None
        self._console: Pump | None = None
        self._channel: InitChannel | Agent | Ssh | None = None
        self._process: Process | None = None
        self._endpoints: Mapping[int, int] = {}
        self._daemons: tuple[int, ...] | None = None

    def marks(self) -> Marks:
        """Return the lines of vmvc's own init and of the kernel; another system says less."""
        boot = self._prepared.boot if self._prepared is not None else None
        if boot is None or boot.kernel is None:
            return Marks(OWN_DISK_LINES, OWN_DISK_SILENT)
        return Marks(MACHINE_LINES)

    def create(self) -> None:
        """Make the files and the definition; libvirt gets it with ``start``."""
        prepared = self._prepared
        if prepared is None:
            raise EngineError("the guest was not prepared for this backend", hint="call prepare() first")
        self._places = self._files.make(self._drivers.own().uri, prepared.overlay)
        self._xml = domain_xml(
            self.tag, self._uuid, self.guest, prepared.boot, prepared.hardware, self._places
        )

    def rehearse(self) -> tuple[str, str]:
        """Have the machine made without letting it run; return its XML and QEMU's command line.

        What differs from one machine to the next is written as NAME, UUID and SOCKETS.

        Raises: StepFailed, EngineError, CleanupError.
        """
        try:
            self.create()
            domain, process, places = self._launch(paused=True)
            return self._anonymous(domain.xml(), places), self._anonymous(process.command_line(), places)
        finally:
            self.destroy()

    def start(self) -> None:
        domain, _, places = self._launch(paused=False)
        if self.guest.ssh is not None:
            self._channel = Ssh(into_made(self.guest, self._files.folder), self.endpoint, self.alive)
        elif self._prepared is not None and self._prepared.boot.channel == "init":
            self._channel = InitChannel(self._files.accept(places.channel))
        elif self._prepared is not None and self._prepared.boot.channel == "agent":
            self._channel = Agent(domain, self.guest.env, self.alive)
        with suppress(GuestDied):
            for port in self.guest.forwarded:
                refusal = self._monitor(f"hostfwd_add hostnet0 tcp:127.0.0.1:0-:{port}")
                if refusal:
                    raise StepFailed(
                        f"QEMU does not forward a port of this host to port {port} of the guest: {refusal}",
                        hint="use a console or exec probe in guest.ready",
                    )

    def endpoint(self, port: int) -> tuple[str, int]:
        """Return the loopback port that QEMU forwards; QEMU chose it and is asked once.

        Raises: GuestDied, StepFailed.
        """
        if port not in self._endpoints:
            found = _FORWARD.findall(self._monitor("info usernet"))
            self._endpoints = {int(inside): int(outside) for outside, inside in found}
        if port not in self._endpoints:
            raise StepFailed(f"port {port} of the guest is not forwarded", hint="name it in guest.ready")
        return "127.0.0.1", self._endpoints[port]

    def console(self) -> ByteStream:
        if self._console is None:
            raise Unavailable("only the process that started a machine can read its console")
        return self._console

    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
        if self._channel is None:
            raise Unavailable(
                "this guest offers no way to run a command in it",
                hint="let commands in by SSH: guest.ssh",
            )
        with self._blaming_the_end():
            return self._channel.run(argv, timeout=timeout, stdin=stdin)

    def alive(self) -> bool:
        """Say whether QEMU runs; the kernel is asked, not libvirt."""
        return self._process is not None and self._process.alive()

    def epitaph(self) -> str:
        """Say why a machine that lives does not run: QEMU halts one whose disk cannot be written."""
        return self._domain.standstill() if self._domain is not None and self.alive() else ""

    def processes(self) -> Processes:
        """Return QEMU as own and libvirt's daemons as shared; user networking needs no helpers."""
        own = (self._running().pid,)
        uri = self._drivers.own().uri
        if root_of(uri) is not None:
            return Processes(own)
        user = 0 if uri == SYSTEM else os.geteuid()
        if self._daemons is None:
            named = [pid for pid, one in proc.table().items() if one.name in DAEMONS]
            self._daemons = tuple(sorted(pid for pid in named if proc.user(pid) == user))
        return Processes(own, shared=self._daemons)

    def cgroup(self) -> Path | None:
        return self._running().memory_cgroup()

    def disk(self) -> DiskUsage:
        """Count the overlay as unique; the base disk, the kernel and its initrd as shared."""
        if self._prepared is None:
            raise Unavailable("only the process that made a machine knows its disks")
        boot = self._prepared.boot
        below = [path for path, _ in boot.chain]
        with libvirt_files.translated("measure the machine's files"):
            shared = libvirt_files.blocks(
                [*below, *(one for one in (boot.kernel, boot.initrd) if one is not None)]
            )
            unique = libvirt_files.blocks([self._files.overlay] if below else [])
        absent = {} if below else {"virtual": "the guest has no disk: its root file system is in memory"}
        return DiskUsage(self._prepared.size, shared + unique, shared, unique, absent)

    def limits(self) -> Limits:
        """Return the machine's size: a guest cannot have more CPUs and memory than there are in it."""
        absent = {"pids": "no limit is set: the guest's own kernel decides"}
        made = self.guest.made
        return Limits(float(made.cpus), made.memory, None, "machine", absent)

    def stop(self, *, timeout: float) -> None:
        """Press the power button, and return when QEMU has ended.

        The kernel tells of that. libvirt tells later: it looks every 0.2 s, and waits for process 1 of the
        host to take note of the end.
        """
        if self._domain is None or self._process is None:
            raise StepFailed("there is nothing to stop", hint="call start() first")
        deadline = time.monotonic() + timeout
        while self._process.alive():
            left = deadline - time.monotonic()
            if left <= 0:
                raise DeadlineExceeded(
                    f"the guest did not power off within {timeout:g} s of its power button",
                    hint="let its command heed the stop signal, or raise trials.stop_timeout",
                )
            try:
                self._domain.press_power_button()
            except StepFailed:
                # It may be ending just now.
                if not self._process.wait(PRESS_EVERY):
                    raise
            self._process.wait(min(PRESS_EVERY, left))

    def destroy(self) -> None:
        self._release()
        try:
            if self._domain is not None or self._places is None:
                self._end()
            self._files.remove()
        except VmvcError as error:
            raise CleanupError(f"{self.tag.name} may remain: {error.what}", hint=error.hint) from error
        self._domain = self._places = None

    def _launch(self, *, paused: bool) -> tuple[Domain, Process, Places]:
        if self._places is None:
            raise StepFailed("there is nothing to start", hint="call create() first")
        self._domain = self._drivers.own().start(self._xml, self._uuid, paused=paused)
        connected = self._files.accept(self._places.console)
        self._process = Process.behind(connected)
        self._console = drained(connected, f"console of {self.tag.name}")
        return self._domain, self._process, self._places

    def _anonymous(self, text: str, places: Places) -> str:
        names = (
            (r"domain-\d+-[^/]*", "domain-N"),
            (re.escape(self.tag.name), "NAME"),
            (re.escape(self.tag.run), "RUN"),
            (re.escape(self.tag.owner), "OWNER"),
            (re.escape(self._uuid), "UUID"),
            (re.escape(mac(self._uuid)), "MAC"),
            (re.escape(str(places.console.parent)), "SOCKETS"),
            (r"\bfd=\d+", "fd=N"),
        )
        for pattern, name in names:
            text = re.sub(pattern, name, text)
        return text

    def _end(self) -> None:
        """End the machine by its driver; that of an embedded driver elsewhere by its process."""
        record = self._files.record()
        uri = record.uri if record is not None else self._uri or self._drivers.own().uri
        driver = self._drivers.at(uri)
        if driver is not None:
            driver.remove(self.tag)
            driver.forget(self._uuid)
        root = root_of(uri)
        if root is not None and (process := libvirt_process.of_embedded(root, self.tag.name)) is not None:
            process.kill()
            process.close()
        with suppress(FileNotFoundError, PermissionError):
            log_of(uri, self.tag.name).unlink()

    def _release(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._console is not None:
            self._console.close()
            self._console = None
        if self._process is not None:
            self._process.close()
            self._process = None

    def _running(self) -> Process:
        if self._process is None or not self._process.alive():
            raise Unavailable("the machine does not run, or was started by another process")
        return self._process

    def _monitor(self, command: str) -> str:
        if self._domain is None:
            raise StepFailed("the machine was not started", hint="call start() first")
        with self._blaming_the_end():
            return self._domain.monitor(command)

    @contextmanager
    def _blaming_the_end(self) -> Iterator[None]:
        """Name the end of the machine as the cause of whatever fails because of it."""
        try:
            yield
        except StepFailed as error:
            if self.alive():
                raise
            raise GuestDied("the machine has ended", hint="read the guest's console") from error
