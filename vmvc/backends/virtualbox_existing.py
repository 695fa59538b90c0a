"""One machine of VirtualBox that exists already: started, measured, shut down, and left as it was found."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from vmvc.backends.held import Held, held_by
from vmvc.backends.ssh import Ssh
from vmvc.backends.ssh_login import into_machine
from vmvc.backends.storage import BLOCK
from vmvc.backends.streams import drained
from vmvc.backends.virtualbox_machine import LETS_GO_WITHIN, end, press_until_gone, start
from vmvc.backends.virtualbox_manage import Manage
from vmvc.backends.virtualbox_process import Process, daemons
from vmvc.backends.virtualbox_survey import OFF, SAVED, Found, find
from vmvc.contract import ByteStream, Completed, DiskUsage, Guest, Instance, Processes, Tag
from vmvc.errors import CleanupError, GuestDied, ImageError, InputError, StepFailed, Unavailable, VmvcError
from vmvc.images import Vdi

KIND: Final = "virtualbox"
_WHO_ELSE: Final = "whoever else uses a user's disks is not known"


class VirtualBoxMachine(Instance):
    """A user's machine; a note in vmvc's cache says while a trial runs it."""

    hides_memory = True

    def __init__(self, tag: Tag, guest: Guest, manage: Manage) -> None:
        super().__init__(tag, guest)
        self._manage = manage
        self._found: Found | None = None
        self._process: Process | None = None
        self._ssh: Ssh | None = None

    def create(self) -> None:
        try:
            found = find(self._manage, self.guest)
        except InputError as error:
            fault = error.faults[0]
            raise StepFailed(fault.what, hint=fault.hint) from error
        if self.guest.attach:
            self._process = Process.of(found.identity)
        else:
            Held(KIND, found.identity, found.name, self.tag).take()
        self._found = found

    def start(self) -> None:
        found = self._known()
        if self.guest.attach:
            return
        start(self._manage, found.identity)
        self._process = Process.of(found.identity)

    def endpoint(self, port: int) -> tuple[str, int]:
        if self.guest.address is not None:
            return self.guest.address, port
        forwards = self._known().forwards
        if port not in forwards:
            raise StepFailed(
                f"port {port} of the machine is not forwarded by its NAT",
                hint="say where it is reached: guest.address; or add a rule: VBoxManage modifyvm --natpf1",
            )
        return forwards[port]

    def console(self) -> ByteStream:
        serial = self._known().serial
        if serial is None:
            raise Unavailable(
                "the machine has no serial port that goes to a file, a socket or a TCP port of this host",
                hint="give it one: VBoxManage modifyvm --uart1 0x3F8 4 --uartmode1 file PATH",
            )
        mode, place = serial
        if mode == "file":
            # VirtualBox begins the file anew with every start of the machine.
            return _Tail(Path(place), self.alive)
        try:
            if mode == "tcpserver":
                connected = socket.create_connection(("127.0.0.1", int(place)), timeout=5)
                connected.settimeout(None)
                return drained(connected, f"console of {self.tag.name}")
            connected = socket.socket(socket.AF_UNIX)
            connected.connect(place)
            return drained(connected, f"console of {self.tag.name}")
        except (OSError, ValueError) as error:
            raise Unavailable(f"the machine's serial port at {place} cannot be read: {error}") from error

    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
        """Run a command by SSH.

        Raises: Unavailable without ``guest.ssh``, and as ``vmvc.backends.ssh``.
        """
        if self.guest.ssh is None:
            raise Unavailable(
                "VirtualBox runs no commands in a machine of a user without its guest additions",
                hint="let commands in by SSH: guest.ssh",
            )
        if not self.alive():
            raise GuestDied("the machine has ended", hint="read the guest's console")
        if self._ssh is None:
            self._ssh = Ssh(into_machine(self.guest, self._known().identity), self.endpoint, self.alive)
        return self._ssh.run(argv, timeout=timeout, stdin=stdin)

    def alive(self) -> bool:
        return self._process is not None and self._process.alive()

    def processes(self) -> Processes:
        if self._process is None or not self._process.alive():
            raise Unavailable("the machine does not run, or its process is another user's")
        return Processes((self._process.pid,), shared=daemons(self._process))

    def cgroup(self) -> Path | None:
        return None

    def disk(self) -> DiskUsage:
        """Count the machine's hard disks and what they stand on."""
        absent = {"shared": _WHO_ELSE, "unique": _WHO_ELSE}
        found = self._known()
        disks = found.disks()
        if disks is None:
            told = "VirtualBox's settings of the machine do not name all of its disks"
            return DiskUsage(absent={**absent, "virtual": told, "allocated": told})
        try:
            blocks = sum(path.stat().st_blocks * BLOCK for path in disks)
        except (OSError, AttributeError) as error:
            reason = f"a disk of the machine cannot be measured: {error}"
            return DiskUsage(absent={**absent, "virtual": reason, "allocated": reason})
        tops = [path for path in disks if str(path) in found.shown.values()]
        try:
            virtual = sum(Vdi.read(path).size for path in tops)
        except ImageError as error:
            return DiskUsage(allocated=blocks, absent={**absent, "virtual": error.what})
        return DiskUsage(virtual, blocks, absent=absent)

    def stop(self, *, timeout: float) -> None:
        if self.guest.attach:
            return
        if self._process is None:
            raise StepFailed("there is nothing to stop", hint="call start() first")
        press_until_gone(self._manage, self._known().identity, self._process, timeout)
        self._settle(self._known().identity)

    def destroy(self) -> None:
        self._process = None
        if self._ssh is not None:
            self._ssh.close()
        note = None if self.guest.attach else held_by(KIND, self.tag)
        if note is None:
            return
        try:
            end(self._manage, note.place)
            self._settle(note.place)
        except VmvcError as error:
            raise CleanupError(f"{note.machine} may still run: {error.what}", hint=error.hint) from error
        note.drop()

    def _settle(self, identity: str) -> None:
        """Wait until VirtualBox's daemon has noticed the machine's end."""
        deadline = time.monotonic() + LETS_GO_WITHIN
        while self._manage.show(identity).get("VMState") not in (*OFF, *SAVED):
            if time.monotonic() > deadline:
                raise StepFailed(
                    "VirtualBox does not notice the machine's end", hint="see VBoxManage list runningvms"
                )
            time.sleep(0.1)

    def _known(self) -> Found:
        if self._found is None:
            raise StepFailed("the machine was not looked up", hint="call create() first")
        return self._found


class _Tail:
    """A file that a machine's serial port writes, as a stream; it ends with the machine."""

    def __init__(self, path: Path, alive: Callable[[], bool]) -> None:
        self._path = path
        self._alive = alive
        self._at = 0
        self._closed = False

    def read(self, timeout: float) -> bytes | None:
        deadline = time.monotonic() + timeout
        while not self._closed:
            lived = self._alive()
            with suppress(FileNotFoundError), self._path.open("rb") as file:
                file.seek(self._at)
                if data := file.read(65536):
                    self._at += len(data)
                    return data
            if not lived:
                return b""
            if time.monotonic() >= deadline:
                return None
            time.sleep(0.005)
        return b""

    def close(self) -> None:
        self._closed = True
