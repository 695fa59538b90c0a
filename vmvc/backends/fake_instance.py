"""A script -> one guest: a folder while it exists, and a thread while it runs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import psutil

from vmvc.backends.fake_guest import RunningGuest, execute
from vmvc.backends.fake_machine import look_up
from vmvc.backends.fake_options import FakeDisk
from vmvc.backends.fake_script import Scripted
from vmvc.backends.held import Held, held_by
from vmvc.backends.streams import Fed
from vmvc.contract import Completed, DiskUsage, Guest, Instance, Marks, Processes, Tag
from vmvc.errors import CleanupError, DeadlineExceeded, StepFailed, Unavailable

KIND: Final = "fake"
LABELS: Final = "labels.json"
_RUNNING: Final = "running.json"
GONE: Final = ".no-image"
"""File in the state's folder that is there while the image is not."""
_DESTROYS: Final = "destroys"


class FakeInstance(Instance):
    """A folder while it exists, and a thread while it runs."""

    def __init__(self, tag: Tag, guest: Guest, script: Scripted) -> None:
        super().__init__(tag, guest)
        self._script = script
        self._folder = script.folder / tag.name
        self._running: RunningGuest | None = None
        self._seen: Mapping[int, int] | None = None
        self._tell: Callable[[str], None] = lambda event: None

    def watch(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def marks(self) -> Marks:
        return Marks(absent=dict.fromkeys(("kernel", "init", "network"), "a fake guest has nothing of it"))

    def create(self) -> None:
        self._script.enter("create", self.tag)
        look_up(self._script.options.machines, self.guest)
        if self.guest.attach:
            self._attach()
            return
        if self.guest.machine is not None:
            Held(KIND, str(self._script.folder), self.guest.machine, self.tag).take()
        if (self._script.folder / GONE).exists():
            raise StepFailed("the image is gone", hint="fetch it first")
        new = self._script.aside("new")
        new.mkdir(parents=True)
        (new / LABELS).write_text(json.dumps(self.tag.labels()))
        try:
            new.rename(self._folder)
        except OSError as error:
            shutil.rmtree(new)
            raise StepFailed(
                f"{self.tag.name} exists already in {self._script.folder}", hint="vmvc clean"
            ) from error
        self._script.leave("create", self.tag)

    def _attach(self) -> None:
        """Play the guest that runs by somebody else's doing, while somebody looks at it."""
        ports: dict[int, int] = {}
        self._running = RunningGuest(
            self._script.of_guest(self.tag, self.guest),
            wanted=lambda: True,
            ended=lambda: None,
            announce=ports.update,
        )
        self._seen = ports

    def start(self) -> None:
        self._script.enter("start", self.tag)
        if self.guest.attach:
            return
        if not self._folder.exists():
            raise StepFailed(f"{self.tag.name} does not exist", hint="create it first")
        if self.alive():
            raise StepFailed(f"{self.tag.name} runs already", hint="start it once")
        if self._running is not None:
            self._running.end()
        marker = self._folder / _RUNNING
        self._running = RunningGuest(
            self._script.of_guest(self.tag, self.guest),
            wanted=marker.exists,
            ended=lambda: marker.unlink(missing_ok=True),
            announce=lambda ports: marker.write_text(
                json.dumps({"pid": os.getpid(), "ports": ports, "cpuset": self.guest.cpuset})
            ),
        )
        self._tell("exec")
        self._script.leave("start", self.tag)

    def exit_code(self) -> int:
        """Return 0: nothing of it runs that could end otherwise."""
        if self.alive():
            raise Unavailable(f"{self.tag.name} runs")
        return 0

    def endpoint(self, port: int) -> tuple[str, int]:
        self._script.log("endpoint", self.tag.name)
        return "127.0.0.1", self._state()[1][port]

    def console(self) -> Fed:
        self._script.log("console", self.tag.name)
        if self._running is None:
            raise Unavailable(f"{self.tag.name} was not started by this process", hint="start it here")
        return self._running.console

    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
        self._script.enter("run", self.tag)
        self._state()
        if self._running is not None and not self._running.ready:
            return Completed(1, b"", b"the guest is not ready\n")
        completed = execute(argv, self.guest.env, stdin, timeout)
        self._script.leave("run", self.tag)
        return completed

    def alive(self) -> bool:
        try:
            self._state()
        except StepFailed:
            return False
        return True

    def processes(self) -> Processes:
        """Return the process whose thread the guest is."""
        return Processes(own=(self._state()[0],))

    def cpuset(self) -> tuple[int, ...] | None:
        """Return the CPUs that the running guest was told to stay on, as its folder records them."""
        told = json.loads((self._folder / _RUNNING).read_text())["cpuset"]
        return None if told is None else tuple(told)

    def cgroup(self) -> Path | None:
        return None

    def disk(self) -> DiskUsage:
        claims = (self._script.options.disk or FakeDisk()).model_dump()
        vary = self._script.varied
        claimed = {
            name: None if value is None else round(vary(value, "disk", self.tag))
            for name, value in claims.items()
        }
        absent = {name: "the script does not say" for name, value in claimed.items() if value is None}
        return DiskUsage(**claimed, absent=absent)

    def stop(self, *, timeout: float) -> None:
        if self.guest.attach:
            self._script.log("stop", self.tag.name)
            return
        needed = self._script.duration("stop", self.tag)
        self._script.enter("stop", self.tag, at_most=timeout)
        self._end()
        if needed > timeout:
            raise DeadlineExceeded(
                f"{self.tag.name} had not ended after {timeout:g} s and was ended by force",
                hint="raise trials.stop_timeout",
            )
        self._tell("stopped")
        self._script.leave("stop", self.tag)

    def destroy(self) -> None:
        self._script.log("destroy", self.tag.name)
        self._end()
        if (note := held_by(KIND, self.tag)) is not None:
            note.drop()
        if not self._folder.exists():
            return
        self._script.fail("destroy", self.tag)
        self._fail_some_times()
        if not self._script.options.leak:
            gone = self._script.aside("gone")
            try:
                self._folder.rename(gone)
            except FileNotFoundError:
                return  # Another process was faster.
            shutil.rmtree(gone)
        self._script.leave("destroy", self.tag)

    def _end(self) -> None:
        (self._folder / _RUNNING).unlink(missing_ok=True)
        self._seen = None
        if self._running is not None:
            self._running.end()

    def _fail_some_times(self) -> None:
        counter = self._folder / _DESTROYS
        failed = int(counter.read_text()) if counter.exists() else 0
        if failed < self._script.options.destroy_fails and self._script.faulty(self.tag):
            counter.write_text(str(failed + 1))
            raise CleanupError(f"{self.tag.name} could not be removed, as its script says", hint="vmvc clean")

    def _state(self) -> tuple[int, dict[int, int]]:
        """Return the process and the ports of the running guest.

        Raises: StepFailed where it does not run.
        """
        if self._seen is not None:
            return os.getpid(), dict(self._seen)
        try:
            state = json.loads((self._folder / _RUNNING).read_text())
        except (FileNotFoundError, ValueError) as error:
            raise StepFailed(f"{self.tag.name} does not run", hint="start it first") from error
        if state["pid"] != os.getpid() and not psutil.pid_exists(state["pid"]):
            raise StepFailed(f"{self.tag.name} has ended with its process", hint="vmvc clean")
        return state["pid"], {int(port): host for port, host in state["ports"].items()}
