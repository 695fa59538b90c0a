"""A machine's UUID -> the process that runs it, and the daemons that all of VirtualBox's machines share."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import psutil

from vmvc.errors import StepFailed

FRONTENDS: Final = ("VBoxHeadless", "VirtualBoxVM", "VBoxSDL", "VirtualBox")
DAEMONS: Final = ("VBoxSVC", "VBoxXPCOMIPCD", "VBoxSDS")
DIES_WITHIN: Final = 10.0
"""Seconds for the kernel to end a killed process."""


@dataclass
class Process:
    """The process of a machine; its number cannot come to mean another."""

    process: psutil.Process

    @classmethod
    def of(cls, identity: str) -> Process | None:
        """Find the process that runs a machine, by its arguments."""
        for one in psutil.process_iter(["name", "cmdline"]):
            name, arguments = _plain(one.info["name"]), one.info["cmdline"] or []
            if name in FRONTENDS and any(identity in argument for argument in arguments):
                return cls(one)
        return None

    @property
    def pid(self) -> int:
        return int(self.process.pid)

    def alive(self) -> bool:
        with suppress(psutil.NoSuchProcess):
            return self.process.is_running() and self.process.status() != psutil.STATUS_ZOMBIE
        return False

    def wait(self, seconds: float) -> bool:
        """Return whether it has ended, at once when it does, at the latest after so many seconds."""
        if not self.alive():
            return True
        with suppress(psutil.TimeoutExpired):
            self.process.wait(seconds)
        return not self.alive()

    def kill(self) -> None:
        """End it by force.

        Raises: StepFailed.
        """
        try:
            self.process.kill()
        except psutil.NoSuchProcess:
            return
        except psutil.AccessDenied as error:
            raise StepFailed(
                f"this user may not end VirtualBox's process {self.pid}", hint="run vmvc as its owner"
            ) from error
        if not self.wait(DIES_WITHIN):
            raise StepFailed(f"VirtualBox's process {self.pid} does not end", hint="see the kernel's log")

    def listens(self, port: int) -> bool | None:
        """Say whether it listens on a port of this host; ``None`` where this user may not see."""
        try:
            found = self.process.net_connections("tcp")
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return None
        return any(one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port for one in found)


def daemons(like: Process) -> tuple[int, ...]:
    """Return the processes that serve all machines of the user who runs one."""
    with suppress(psutil.Error):
        user = like.process.username()
        there = [one.info for one in psutil.process_iter(["name", "pid", "username"])]
        return tuple(
            one["pid"] for one in there if _plain(one["name"]) in DAEMONS and one["username"] == user
        )
    return ()


def _plain(name: str | None) -> str:
    return (name or "").removesuffix(".exe")
