"""A platform's author -> what the contract tests of a backend need to know of that platform."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from vmvc.contract import Backend, Guest, Instance
from vmvc.spec import Console, Exec, ReadyConsole, ReadyExec, RecipeImage

SPEAKS = "vmvc speaks"


class Hooks:
    """Fill in ``backend`` and ``guest``; override what differs on your platform.

    Hooks are called on different objects of the class, in any order: keep state in the class or outside.
    """

    timeout: ClassVar[float] = 120.0
    """Seconds that any one step may take here."""
    slack: ClassVar[float] = 10.0
    """Seconds beyond a timeout within which its error must have come."""
    has_console: ClassVar[bool] = True
    has_run: ClassVar[bool] = True
    has_processes: ClassVar[bool] = True
    """False where the platform has none: the tests then want ``Unavailable``."""
    has_forget: ClassVar[bool] = False
    """True where an image can be removed and made again, as ``trials.image: absent`` needs it."""
    large: ClassVar[int] = 2**20
    """Bytes of a large output of a command."""

    def backend(self) -> Backend:
        """Return a new object, not used yet."""
        raise NotImplementedError

    def guest(self) -> Guest:
        """Return a guest that gets ready on this backend, by a probe that asks a port."""
        raise NotImplementedError

    def forgettable(self) -> Guest:
        """Return a guest whose image nothing else uses, so that it can be removed."""
        files = {"/forgettable": f"Only {type(self).__qualname__} uses this image.\n"}
        return replace(self.guest(), image=RecipeImage(base="tiny", files=files))

    def stubborn(self) -> tuple[Backend, Guest]:
        """Return a guest that gets ready and ignores the stop signal."""
        script = "trap '' TERM INT QUIT; touch /tmp/stubborn; while :; do sleep 1; done"
        ready = ReadyExec(exec=Exec(command=("test", "-e", "/tmp/stubborn")))
        return self.backend(), replace(self.guest(), command=("sh", "-c", script), ready=ready)

    def speaking(self) -> tuple[Backend, Guest]:
        """Return a guest that prints ``vmvc speaks`` and heeds the stop signal."""
        script = f"trap 'exit 0' TERM INT QUIT; echo {SPEAKS}; while :; do sleep 0.2; done"
        ready = ReadyConsole(console=Console(pattern=SPEAKS))
        return self.backend(), replace(self.guest(), command=("sh", "-c", script), ready=ready)

    def stranger(self) -> AbstractContextManager[Callable[[], bool]]:
        """Make something on this platform that is not vmvc's; say whether it is still there."""
        return nullcontext(lambda: True)

    def prints(self, arguments: Sequence[str]) -> Sequence[str]:
        """Return a command that prints every argument and a zero byte after each."""
        return ("printf", r"%s\0", *arguments)

    def exits(self, status: int) -> Sequence[str]:
        """Return a command that exits with that status."""
        return ("sh", "-c", f"exit {status}")

    def sleeps(self, seconds: int) -> Sequence[str]:
        """Return a command that takes that long."""
        return ("sleep", str(seconds))

    def copies(self) -> Sequence[str]:
        """Return a command that copies its input to its output."""
        return ("cat",)

    def complains(self) -> Sequence[str]:
        """Return a command that prints ``out`` and, on standard error, ``err``."""
        return ("sh", "-c", "echo out; echo err >&2")

    def shows(self, variable: str) -> Sequence[str]:
        """Return a command that prints an environment variable and a newline."""
        return ("sh", "-c", f'printf "%s\\n" "${variable}"')

    def cpus_of(self, instance: Instance) -> set[tuple[int, ...]]:
        """Return the sets of CPUs of this host that the threads of a running instance may use."""
        found = set()
        for pid in instance.processes().own:
            for task in Path(f"/proc/{pid}/task").iterdir():
                with suppress(ProcessLookupError):
                    found.add(tuple(sorted(os.sched_getaffinity(int(task.name)))))
        return found
