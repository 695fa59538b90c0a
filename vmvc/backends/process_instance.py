"""A tag and a plan -> one process tree on the bare host, in its own copy-on-write root."""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from vmvc.backends import ports, process_tree
from vmvc.backends.process_launch import Launched, Launcher, Plan
from vmvc.backends.process_root import Recipe, image_footprint, remove
from vmvc.backends.storage import Footprint, footprint
from vmvc.backends.streams import Pump, pipe, too_much
from vmvc.contract import (
    MOST_OUTPUT,
    ByteStream,
    Completed,
    DiskUsage,
    Guest,
    Instance,
    Limits,
    Marks,
    Processes,
    Tag,
)
from vmvc.errors import CleanupError, DeadlineExceeded, EngineError, StepFailed, Unavailable
from vmvc.images import cache_dir

TAG: Final = "tag.json"
KEEPER: Final = "keeper.json"
LOOK: Final = 0.05
"""Seconds between two looks at how much a command has printed."""
NOT_FOUND: Final = 127
NOT_EXECUTABLE: Final = 126


def instances() -> Path:
    """Return the folder that holds a folder for every instance."""
    return cache_dir() / "processes"


class ProcessInstance(Instance):
    """One process tree: the command and all that it starts.

    It lives as long as any of them does: a command that goes into the background and ends is alive.
    """

    def __init__(
        self, tag: Tag, guest: Guest, launcher: Callable[[], Launcher], recipe: Recipe | None
    ) -> None:
        super().__init__(tag, guest)
        self.folder = instances() / tag.name
        self._launcher = launcher
        self._recipe = recipe
        self._plan: Plan | None = None
        self._launched: Launched | None = None
        self._started = False
        self._commanded = False
        """Whether a command was run inside, which may have left something behind that no keeper knows."""
        self._output: Pump | None = None
        self._tell: Callable[[str], None] = lambda event: None

    def watch(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def marks(self) -> Marks:
        reason = "a process on the bare host uses a kernel and a network that are up already"
        return Marks(absent=dict.fromkeys(("kernel", "init", "network"), reason))

    def create(self) -> None:
        """Make the root, fork the command and let it wait there.

        Raises: StepFailed, also where a port of the guest is taken.
        """
        recipe = self._recipe
        if recipe is None:
            raise EngineError("the guest was not prepared for this host", hint="call prepare() first")
        for port in self.guest.ports:
            if what := ports.obstacle(port):
                raise StepFailed(what, hint="stop it, or let the guest use another port")
        try:
            self.folder.mkdir(parents=True)
        except FileExistsError as error:
            raise StepFailed(
                f"an instance {self.tag.name} is there already",
                hint="remove what an earlier run left: vmvc clean",
            ) from error
        (self.folder / TAG).write_text(json.dumps(self.tag.labels()))
        try:
            plan = recipe.lay(self.folder)
        except OSError as error:
            raise StepFailed(f"the root file system could not be made: {error}", hint="see df -h") from error
        env = {**plan.env, **process_tree.environment(self.tag)}
        self._plan = replace(plan, env=env, cpus=self.guest.cpuset or ())
        ours, theirs = os.pipe()
        with open(os.devnull, "rb") as nothing:
            try:
                self._launched = self._launcher().launch(self._plan, nothing.fileno(), theirs, theirs)
            finally:
                os.close(theirs)
                # Always read, so that a guest never waits for a reader.
                self._output = pipe(ours, f"console of {self.tag.name}")
        keeper = {str(self._launched.keeper): process_tree.started(self._launched.keeper)}
        (self.folder / KEEPER).write_text(json.dumps(keeper))

    def start(self) -> None:
        """Let the command go; it has been executed when this returns.

        Raises: StepFailed where it cannot be executed.
        """
        assert self._launched is not None
        assert self._plan is not None
        number = self._launched.start()
        if number:
            raise StepFailed(
                f"cannot run '{self._plan.argv[0]}': {os.strerror(number)}",
                hint="name a program that is in the image and fits this CPU: guest.command",
            )
        self._tell("exec")
        self._started = True

    def endpoint(self, port: int) -> tuple[str, int]:
        return "127.0.0.1", port

    def console(self) -> ByteStream:
        """Return standard output and error, as they are written."""
        if self._output is None:
            raise Unavailable("only the process that made the guest has its console")
        return _Console(self._output)

    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
        """Run a command in the guest's root, with its user and environment.

        After ``timeout`` it is killed with all that it started.
        """
        if self._launched is None or self._plan is None or not self.alive():
            raise StepFailed("the guest has ended", hint="read its console")
        self._commanded = True
        plan = replace(self._plan, argv=tuple(argv), join=self._launched.keeper if self._plan.root else 0)
        files = [os.memfd_create(name) for name in ("stdin", "stdout", "stderr")]
        try:
            with open(files[0], "wb", closefd=False) as file:
                file.write(stdin)
                file.seek(0)
            launched = self._launcher().launch(plan, *files)
            try:
                number = launched.start()
                if number:
                    code = NOT_FOUND if number in (errno.ENOENT, errno.ENOTDIR) else NOT_EXECUTABLE
                    return Completed(code, b"", f"{argv[0]}: {os.strerror(number)}\n".encode())
                deadline = time.monotonic() + timeout
                while (status := launched.status(min(LOOK, max(0.0, deadline - time.monotonic())))) is None:
                    full = max(os.fstat(file).st_size for file in files[1:]) > MOST_OUTPUT
                    if full or time.monotonic() >= deadline:
                        break
                if status is None:
                    process_tree.kill(lambda: process_tree.below(launched.keeper))
                    if full:
                        raise too_much(argv)
                    raise DeadlineExceeded(
                        f"'{argv[0]}' did not end within {timeout:g} s",
                        hint="give it more time, or see why it hangs",
                    )
            finally:
                launched.close()
            if max(os.fstat(file).st_size for file in files[1:]) > MOST_OUTPUT:
                raise too_much(argv)
            stdout, stderr = (_content(file) for file in files[1:])
            # As a shell says it, and a container: 128 and the signal.
            return Completed(status if status >= 0 else 128 - status, stdout, stderr)
        finally:
            for one in files:
                os.close(one)

    def alive(self) -> bool:
        """Say whether the command, or anything that it started, runs."""
        if self._launched is not None:
            return self._started and not self._launched.ended(0)
        return bool(process_tree.members(self.tag, self._keepers()))

    def exit_code(self) -> int:
        status = self._launched.status(0) if self._launched is not None and self._started else None
        if status is None:
            raise Unavailable("the command runs, or was started by another process")
        return status if status >= 0 else 128 - status

    def epitaph(self) -> str:
        """Say how the command ended."""
        status = self._launched.status(0) if self._launched is not None and self._started else None
        if status is None:
            return ""
        return f"exit code {status}" if status >= 0 else f"killed by {signal.Signals(-status).name}"

    def processes(self) -> Processes:
        """Return the tree as own; launcher and keeper, vmvc's instrument and not the guest's, as shared."""
        find = process_tree.everywhere if self._commanded else process_tree.numbers
        own = find(self.tag, self._keepers()) if self.alive() else []
        launcher = self._launcher().pid
        shared = {*self._keepers(), *([launcher] if launcher is not None else [])}
        return Processes(own=tuple(sorted(own)), shared=tuple(sorted(shared)))

    def cgroup(self) -> Path | None:
        return None

    def disk(self) -> DiskUsage:
        """Count the root file system: image and own layer as they lie on the host's disk.

        ``virtual``: bytes of all files. ``unique``: blocks of the instance's folder; ``shared``: those of the
        unpacked image.
        """
        recipe = self._recipe
        unique = footprint([self.folder])
        if recipe is None or recipe.lower is None:
            reason = "the command uses the host's own file system"
            return DiskUsage(
                unique=unique.blocks, absent=dict.fromkeys(("virtual", "allocated", "shared"), reason)
            )
        written = footprint([self.folder / ("root" if recipe.copy else "upper")])
        image = Footprint() if recipe.copy else image_footprint(recipe.lower)
        return DiskUsage(
            virtual=image.content + written.content,
            allocated=image.blocks + unique.blocks,
            shared=image.blocks,
            unique=unique.blocks,
        )

    def limits(self) -> Limits:
        reason = "the bare host limits nothing"
        return Limits(absent=dict.fromkeys(("cpus", "memory", "pids"), reason))

    def stop(self, *, timeout: float) -> None:
        """Send the image's stop signal to the command, or to what it left behind, and wait for the tree."""
        if self._launched is None or self._recipe is None:
            raise Unavailable("only the process that made the guest can stop it")
        ran = self._launched.status(0) is None
        if not self._launched.send(self._recipe.stop_signal) and not self._launched.ended(0):
            for one in process_tree.members(self.tag, self._keepers()):
                with suppress(ProcessLookupError):
                    os.kill(one.pid, self._recipe.stop_signal)
        deadline = time.monotonic() + timeout
        if self._launched.status(timeout) is not None and ran:
            self._tell("stopped")
        if not self._launched.ended(deadline - time.monotonic()):
            raise DeadlineExceeded(
                f"the guest did not end within {timeout:g} s of its stop signal",
                hint="handle the signal in its command",
            )

    def destroy(self) -> None:
        """Kill the whole tree, and remove the folder once nothing is mounted in it."""
        left = process_tree.kill(lambda: process_tree.members(self.tag, self._keepers()))
        if left:
            pids = ", ".join(str(one.pid) for one in left)
            raise CleanupError(f"processes of {self.tag.name} do not end: {pids}", hint="see dmesg")
        if self._launched is not None:
            self._launched.ended(process_tree.KILLED_WITHIN)
            self._launched.close()
            self._launched = None
        if self._output is not None:
            self._output.close()
            self._output = None
        remove(self.folder)

    def _keepers(self) -> dict[int, int]:
        with suppress(FileNotFoundError, ValueError):
            kept = json.loads((self.folder / KEEPER).read_text())
            return {int(pid): int(start) for pid, start in kept.items() if start is not None}
        return {}


class _Console:
    """A reader of the output that can leave without stopping the flow. A ``vmvc.contract.ByteStream``."""

    def __init__(self, output: Pump) -> None:
        self._output = output
        self._closed = False

    def read(self, timeout: float) -> bytes | None:
        return b"" if self._closed else self._output.read(timeout)

    def close(self) -> None:
        self._closed = True


def _content(file: int) -> bytes:
    """Return all of a file in memory."""
    return os.pread(file, os.fstat(file).st_size, 0)
