"""A machine that exists already -> its process on this host, and commands in a container of libvirt's."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import psutil

from vmvc.backends.libvirt_channel import PATH
from vmvc.contract import Completed
from vmvc.errors import DeadlineExceeded, GuestDied


class Inside:
    """Commands in a container of libvirt's, in its namespaces; not in its cgroup."""

    def __init__(self, controller: int) -> None:
        self._controller = controller

    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes) -> Completed:
        try:
            first = psutil.Process(self._controller).children()[0].pid
        except (psutil.Error, IndexError) as error:
            raise GuestDied("the container has ended", hint="read the guest's console") from error
        spaces = ("--mount", "--uts", "--ipc", "--net", "--pid")
        name, _, path = PATH.partition("=")
        with subprocess.Popen(
            ["nsenter", f"--target={first}", *spaces, "--", *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={name: path},
        ) as command:
            try:
                out, err = command.communicate(stdin, timeout)
            except subprocess.TimeoutExpired as error:
                _kill(command.pid)
                raise DeadlineExceeded(
                    f"'{argv[0]}' did not end within {timeout:g} s",
                    hint="give it more time, or see why it hangs",
                ) from error
        return Completed(command.returncode, out, err)

    def close(self) -> None:
        """Release nothing."""


def listens(controller: int) -> bool:
    """Say whether a container's first process takes orders at initctl."""
    with suppress(psutil.Error, IndexError, OSError):
        root = Path(f"/proc/{psutil.Process(controller).children()[0].pid}/root")
        return any((root / place).is_fifo() for place in ("run/initctl", "dev/initctl"))
    return False


def _kill(pid: int) -> None:
    with suppress(psutil.Error):
        first = psutil.Process(pid)
        for one in (*first.children(recursive=True), first):
            with suppress(psutil.Error):
                one.kill()


def qemu_of(uuid: str) -> int | None:
    """Find a machine's QEMU by the argument that names it."""
    for one in psutil.process_iter(["pid", "cmdline"]):
        arguments = one.info["cmdline"] or ()
        if any(a == "-uuid" and b == uuid for a, b in pairwise(arguments)):
            return int(one.info["pid"])
    return None
