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
_OWN: Final = re.compile(r"^(.*/(?:[^/]*\.libvirt-qemu|machine-qemu[^/]*\.scope))(?:/|$)")


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
        """End it by force, and wait.

        Raises: StepFailed where it does not end, or may not be ended by this user.
        """
        if not self.alive():
            return
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

    def memory_cgroup(self) -> Path | None:
        """Return the folder of the memory cgroup that libvirt made for it; ``None`` where it made none."""
        with suppress(FileNotFoundError, ProcessLookupError):
            for line in Path(f"/proc/{self.pid}/cgroup").read_text().splitlines():
                _, controllers, path = line.split(":", 2)
                mount = {"memory": "/sys/fs/cgroup/memory", "": _unified()}.get(controllers)
                own = _OWN.match(path)
                if mount is None or own is None:
                    continue
                folder = Path(mount + own[1])
                if any((folder / name).is_file() for name in ("memory.current", "memory.usage_in_bytes")):
                    return folder
        return None

    def command_line(self) -> str:
        """Return its arguments as one would type them."""
        arguments = Path(f"/proc/{self.pid}/cmdline").read_bytes().decode(errors="replace")
        return shlex.join(arguments.removesuffix("\0").split("\0"))

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _unified() -> str:
    return (
        "/sys/fs/cgroup" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else "/sys/fs/cgroup/unified"
    )


def of_embedded(root: Path, name: str) -> Process | None:
    """Find the process of a machine of an embedded driver, by the file in which libvirt notes it."""
    try:
        pid = int((root / "run" / "qemu" / f"{name}.pid").read_text())
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None
    ours = any(one.split(b",")[0] == b"guest=" + name.encode() for one in arguments)
    return Process(pid) if ours else None
