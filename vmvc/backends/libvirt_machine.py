"""A tag and the name of a machine that exists already -> that machine, run or observed for one trial."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

import psutil

from vmvc.backends import libvirt_definition, libvirt_usage
from vmvc.backends.held import Held, held_by
from vmvc.backends.libvirt_channel import Agent
from vmvc.backends.libvirt_connection import Connection, Drivers
from vmvc.backends.libvirt_definition import Definition
from vmvc.backends.libvirt_existing import Existing, Watch
from vmvc.backends.libvirt_inside import Inside, listens, qemu_of
from vmvc.backends.libvirt_process import Process
from vmvc.backends.libvirt_running import Domain
from vmvc.backends.libvirt_uri import here
from vmvc.backends.ssh import Ssh
from vmvc.backends.ssh_login import into_machine
from vmvc.contract import ByteStream, Completed, DiskUsage, Guest, Instance, Processes, Tag
from vmvc.errors import (
    CleanupError,
    DeadlineExceeded,
    EngineError,
    Fault,
    GuestDied,
    ImageError,
    InputError,
    StepFailed,
    Unavailable,
    VmvcError,
)
from vmvc.wording import did_you_mean

KIND: Final = "libvirt"
PRESS_EVERY: Final = 2.0
"""Seconds after which the power button of a machine that is not ours is pressed again."""
LOOK_EVERY: Final = 0.05
ADDRESS_WITHIN: Final = 120.0
"""Seconds for a machine to have an address that its driver tells."""
ENDS_WITHIN: Final = 20.0
_CURES: Final = {
    "paused": "resume it (virsh resume) and shut it down, or end it",
    "shutting down": "wait until it is off",
    "crashed": "end it: virsh destroy",
    "suspended": "wake it (virsh dompmwakeup) and shut it down",
    "saved": "start it and shut it down once, or discard the saved state: virsh managedsave-remove",
}


def find(connection: Connection, guest: Guest) -> tuple[Existing, Definition]:
    """Find the machine that a guest names, in the state that it is to be used in.

    Raises: InputError, EngineError, StepFailed.
    """
    name = guest.machine or ""
    machine = connection.machine(name)
    if machine is None:
        names = connection.names()
        hint = (
            did_you_mean(name, names) or "virsh list --all shows those there are; options.uri chooses others"
        )
        what = f"libvirt has no machine {name!r} at {connection.shown}"
        raise InputError(Fault(what, hint=hint if names else f"none is defined there; {hint}"))
    state = machine.state()
    if guest.attach and state != "running":
        what = f"the machine {name!r} is {state}, and guest.attach only observes one that runs"
        raise InputError(Fault(what, hint=_CURES.get(state, "start it, or leave guest.attach out")))
    if not guest.attach and state == "running":
        what = f"the machine {name!r} runs already"
        raise InputError(Fault(what, hint="shut it down, or only observe it: guest.attach: true"))
    if not guest.attach and state != "off":
        what = f"the machine {name!r} is {state}, which a start would not leave as it was"
        raise InputError(Fault(what, hint=_CURES.get(state, "bring it into order by hand")))
    return machine, libvirt_definition.read(machine.xml())


class _Way(Protocol):
    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes) -> Completed: ...
    def close(self) -> None: ...


class LibvirtMachine(Instance):
    """A machine of the user's; nothing of it is made, changed or removed."""

    def __init__(self, tag: Tag, guest: Guest, drivers: Drivers) -> None:
        super().__init__(tag, guest)
        self._drivers = drivers
        self._machine: Existing | None = None
        self._definition: Definition | None = None
        self._uri = ""
        self._watch: Watch | None = None
        self._process: Process | None = None
        self._console: ByteStream | None = None
        self._ways: _Way | None = None
        self._endpoints: dict[int, tuple[str, int]] = {}

    def create(self) -> None:
        """Find it, and note that this trial has it."""
        connection = self._drivers.own()
        try:
            machine, self._definition = find(connection, self.guest)
        except InputError as error:
            fault = error.faults[0]
            raise StepFailed(fault.what, hint=fault.hint) from error
        self._uri = connection.uri
        if not self.guest.attach:
            Held(KIND, connection.uri, machine.uuid, self.tag).take()
        self._machine = machine
        if self.guest.attach:
            self._hold()

    def start(self) -> None:
        """Start it; where its console is opened first, no byte of it is lost."""
        machine = self._found()
        if self.guest.attach:
            return
        early = machine.driver == "QEMU" and self._definition is not None and self._definition.console
        machine.start(paused=early)
        self._hold()
        if early:
            with suppress(Unavailable):
                self._console = machine.console()
            machine.resume()

    def endpoint(self, port: int) -> tuple[str, int]:
        """Return where the port is reached: as the guest says, as its network forwards it, or at its address.

        Raises: StepFailed, GuestDied.
        """
        if port not in self._endpoints:
            self._endpoints[port] = self._find_endpoint(port)
        return self._endpoints[port]

    def console(self) -> ByteStream:
        if self._console is None:
            self._console = self._found().console()
        return self._console

    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
        if self._ways is None:
            self._ways = self._way()
        if not self.alive():
            raise GuestDied("the machine has ended", hint="read the guest's console")
        return self._ways.run(argv, timeout=timeout, stdin=stdin)

    def alive(self) -> bool:
        if self._process is not None and not self._process.alive():
            return False
        return self._watch is not None and self._watch.running()

    def epitaph(self) -> str:
        """Say why a machine that lives does not run."""
        return self._found().standstill() if self.alive() else ""

    def processes(self) -> Processes:
        """Return what the host shows of it: QEMU, or the processes of a container and their controller.

        Raises: Unavailable of any other driver, and of one on another host.
        """
        process = self._shown()
        daemons = tuple(
            one.info["pid"]
            for one in psutil.process_iter(["name", "pid"])
            if one.info["name"] in ("libvirtd", "virtqemud", "virtlxcd", "virtlogd", "virtlockd")
        )
        if self._found().driver == "QEMU":
            return Processes((process.pid,), shared=daemons)
        with suppress(psutil.Error):
            inside = psutil.Process(process.pid).children(recursive=True)
            return Processes(tuple(one.pid for one in inside), (process.pid,), daemons)
        raise Unavailable("the container has ended")

    def cgroup(self) -> Path | None:
        return self._shown().memory_cgroup()

    def disk(self) -> DiskUsage:
        """Sum its disks: by their files where they are on this host, else as libvirt tells."""
        definition, machine = self._defined(), self._found()
        if machine.driver == "TEST":
            return libvirt_usage.unknown("libvirt's mock has no disks")
        local = here(self._uri)
        if definition.folders and local:
            return libvirt_usage.of_folders(definition.folders)
        if not definition.disks:
            reason = "the machine has no disk that its definition tells of"
            return libvirt_usage.unknown(reason)
        if local and all(one.path is not None and one.path.exists() for one in definition.disks):
            with suppress(ImageError, EngineError, OSError):
                return libvirt_usage.of_files(definition)
        try:
            found = [machine.block(one.target) for one in definition.disks]
        except (Unavailable, StepFailed) as error:
            return libvirt_usage.unknown(error.what)
        reason = "libvirt does not tell what of a disk is shared with others"
        return DiskUsage(
            virtual=sum(size for size, _ in found),
            allocated=sum(used for _, used in found),
            absent={"shared": reason, "unique": reason},
        )

    def stop(self, *, timeout: float) -> None:
        """Press its power button (a container is asked as libvirt asks it), and wait for its end.

        Raises: DeadlineExceeded; Unavailable where the driver cannot.
        """
        if self.guest.attach:
            return
        machine = self._found()
        began = pressed = time.monotonic()
        obeys = machine.driver != "LXC" or self._process is None or listens(self._process.pid)
        machine.press(listens=obeys)
        while self.alive():
            now = time.monotonic()
            if now >= began + timeout:
                raise DeadlineExceeded(
                    f"the machine did not power off within {timeout:g} s of its power button",
                    hint="let its system heed the button (acpid, systemd-logind), or raise stop_timeout",
                )
            if now >= pressed + PRESS_EVERY:
                pressed = now
                machine.press(listens=obeys)
            left = min(LOOK_EVERY, began + timeout - now)
            if self._process is not None:
                self._process.wait(left)
            else:
                time.sleep(left)
        self._await(lambda: not machine.active(), "end")

    def destroy(self) -> None:
        """End it where this trial has started it, and forget it; it stays where it was found."""
        self._release()
        note = held_by(KIND, self.tag)
        if note is None:
            return
        try:
            connection = self._drivers.at(note.place)
            machine = connection.machine(note.machine) if connection is not None else None
            if machine is not None and machine.active():
                machine.end()
                self._await(lambda: not machine.active(), "end")
        except VmvcError as error:
            what = f"the machine {note.machine} may still run: {error.what}"
            raise CleanupError(what, hint=error.hint) from error
        note.drop()

    # --- where it is ------------------------------------------------------------------------------------

    def _hold(self) -> None:
        """Find what tells of its end, and its process where this host shows one."""
        machine = self._found()
        self._watch = machine.watch()
        if here(self._uri):
            pid = qemu_of(machine.uuid) if machine.driver == "QEMU" else None
            if machine.driver == "LXC":
                pid = machine.number()
            self._process = Process(pid) if pid is not None and pid > 0 else None

    def _find_endpoint(self, port: int) -> tuple[str, int]:
        if self.guest.address is not None:
            return self.guest.address, port
        definition = self._defined()
        if port in definition.forwards:
            return definition.forwards[port]
        deadline = time.monotonic() + ADDRESS_WITHIN
        hint = "say it in guest.address, or use a console probe in guest.ready"
        try:
            while not (found := self._found().addresses()):
                if not self.alive():
                    raise GuestDied("the machine has ended", hint="read the guest's console")
                if time.monotonic() > deadline:
                    raise StepFailed("libvirt does not tell the machine's address", hint=hint)
                time.sleep(LOOK_EVERY)
        except Unavailable as reason:
            raise StepFailed(f"the machine's address is not known: {reason.what}", hint=hint) from reason
        return found[0], port

    def _way(self) -> _Way:
        """Return a way to run commands.

        Raises: Unavailable.
        """
        machine = self._found()
        if self.guest.ssh is not None:
            return Ssh(into_machine(self.guest, machine.uuid), self.endpoint, self.alive)
        if machine.driver == "LXC" and self._process is not None:
            return Inside(self._process.pid)
        if machine.driver == "QEMU" and self._defined().agent:
            ready = threading.Event()
            ready.set()
            return Agent(Domain(machine.domain, ready), {}, self.alive)
        raise Unavailable(
            f"this machine of libvirt's driver {machine.driver} offers no way to run a command in it",
            hint="let commands in by SSH (guest.ssh), or give it the guest agent's channel",
        )

    def _shown(self) -> Process:
        driver = self._found().driver
        if not here(self._uri):
            where = "libvirt's mock runs nothing" if driver == "TEST" else "the machine runs on another host"
            raise Unavailable(f"{where}: it has no processes here")
        if self._process is None:
            raise Unavailable(f"libvirt's driver {driver} does not tell which processes a machine has")
        if not self._process.alive():
            raise Unavailable("the machine has ended")
        return self._process

    def _found(self) -> Existing:
        if self._machine is None:
            raise StepFailed("the machine was not looked up", hint="call create() first")
        return self._machine

    def _defined(self) -> Definition:
        self._found()
        assert self._definition is not None
        return self._definition

    def _await(self, done: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + ENDS_WITHIN
        while not done():
            if time.monotonic() > deadline:
                raise StepFailed(f"the machine does not {what}", hint="see libvirt's log")
            time.sleep(LOOK_EVERY)

    def _release(self) -> None:
        if self._ways is not None:
            self._ways.close()
            self._ways = None
        if self._console is not None:
            self._console.close()
            self._console = None
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        if self._process is not None:
            self._process.close()
            self._process = None
