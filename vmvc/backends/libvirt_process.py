"""QEMU's process -> whether it lives, its cgroup, its end."""

from __future__ import annotations

import os
import re
import select
import shlex
import signal
import socket
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

from vmvc.errors import StepFailed

DIES_WITHIN: Final = 10.0
"""Seconds for the kernel to end a killed process."""
_OWN: Final = re.compile(r"^(.*/(?:[^/]*\.libvirt-(?:qemu|lxc)|machine-(?:qemu|lxc)[^/]*\.scope))(?:/|$)")


class Process:
    """A process that may end at any time; its number cannot come to mean another."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._file = -1
        self._poll = select.poll()
        with suppress(ProcessLookupError):
            self._file = os.pidfd_open(pid)
            self._poll.register(self._file, select.POLLIN)

    @classmethod
    def behind(cls, connected: socket.socket) -> Process:
        """Return the process at the other end of a Unix socket."""
        size = struct.calcsize("3i")
        pid, _, _ = struct.unpack("3i", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
        return cls(pid)

    def alive(self) -> bool:
        return not self.wait(0)

    def wait(self, seconds: float) -> bool:
        """Return whether it has ended, at once when it does, at the latest after so many seconds."""
        return self._file < 0 or bool(self._poll.poll(seconds * 1000))

    def kill(self) -> None:
        """End it by force, wait, and remove the cgroups that its driver made for it.

        Raises: StepFailed where it does not end, or may not be ended by this user.
        """
        if not self.alive():
            return
        cgroups = self._cgroups()
        try:
            signal.pidfd_send_signal(self._file, signal.SIGKILL)
        except ProcessLookupError:
            return
        except PermissionError as error:
            raise StepFailed(
                f"this user may not end QEMU (pid {self.pid})", hint="run vmvc as its owner"
            ) from error
        if not self.wait(DIES_WITHIN):
            raise StepFailed(f"QEMU (pid {self.pid}) does not end", hint="see the kernel's log")
        for folder in cgroups:
            _remove_cgroup(folder)

    def memory_cgroup(self) -> Path | None:
        """Return the folder of the memory cgroup that libvirt made for it; ``None`` where it made none."""
        names = ("memory.current", "memory.usage_in_bytes")
        return next((one for one in self._cgroups() if any((one / name).is_file() for name in names)), None)

    def _cgroups(self) -> list[Path]:
        """Return the folders of all cgroups that libvirt made for it, on every hierarchy."""
        found = []
        with suppress(FileNotFoundError, ProcessLookupError):
            for line in Path(f"/proc/{self.pid}/cgroup").read_text().splitlines():
                _, controllers, path = line.split(":", 2)
                own = _OWN.match(path)
                if own is not None:
                    found.append(Path(f"{_mount(controllers)}{own[1]}"))
        return found

    def command_line(self) -> str:
        """Return its arguments as one would type them."""
        arguments = Path(f"/proc/{self.pid}/cmdline").read_bytes().decode(errors="replace")
        return shlex.join(arguments.removesuffix("\0").split("\0"))

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _mount(controllers: str) -> Path:
    """Return where a hierarchy is mounted: version 1 by its controllers, version 2 has no name."""
    top = Path("/sys/fs/cgroup")
    if controllers:
        return top / controllers.removeprefix("name=")
    return top if (top / "cgroup.controllers").exists() else top / "unified"


def _remove_cgroup(folder: Path) -> None:
    """Remove an empty cgroup and those in it; one that is not empty yet stays."""
    with suppress(OSError):
        for inner in folder.iterdir():
            if inner.is_dir():
                _remove_cgroup(inner)
        folder.rmdir()


def of_embedded(root: Path, name: str) -> Process | None:
    """Find the process of a machine of an embedded driver, by the file in which libvirt notes it."""
    try:
        pid = int((root / "run" / "qemu" / f"{name}.pid").read_text())
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None
    ours = any(one.split(b",")[0] == b"guest=" + name.encode() for one in arguments)
    return Process(pid) if ours else None
