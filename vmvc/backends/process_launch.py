"""A plan -> a command that waits in its root file system for the word to start.

The other end of ``process_launcher``, which does the work in an interpreter of its own.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from vmvc.errors import DeadlineExceeded, EngineError, StepFailed

READY_WITHIN: Final = 30.0
"""Seconds for a fork and some mounts."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run and where. Without ``root`` it runs on the host's own file system.

    ``overlay``: mount options, "" where ``root`` is used as it is. ``join``: a keeper whose mounts to share.
    ``user``: user, group and supplementary groups. ``cpus``: those it is kept on, with all that it starts;
    empty where it is free.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    workdir: str = "/"
    user: tuple[int, int, tuple[int, ...]] | None = None
    root: str = ""
    overlay: str = ""
    join: int = 0
    cpus: tuple[int, ...] = ()


@dataclass(slots=True)
class Launched:
    """A command under its keeper; the file descriptors are this object's own."""

    keeper: int
    pid: int
    _go: int
    _executed: int
    _report: int
    _keeper_file: int = -1
    _pid_file: int = -1
    _told: bytes = b""
    _files: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._keeper_file = os.pidfd_open(self.keeper)
        self._pid_file = os.pidfd_open(self.pid)
        self._files = [self._go, self._executed, self._report, self._keeper_file, self._pid_file]

    def start(self) -> int:
        """Let the command go; return 0 when it has been executed, else the errno."""
        os.write(self._go, b"g")
        return int(os.read(self._executed, 16) or b"0")

    def send(self, number: int) -> bool:
        """Send a signal to the command; say whether it was still there."""
        try:
            signal.pidfd_send_signal(self._pid_file, number)
        except ProcessLookupError:
            return False
        return not _ended(self._pid_file, 0)

    def ended(self, timeout: float) -> bool:
        """Wait until the command and all its descendants have ended; say whether they have."""
        return _ended(self._keeper_file, timeout)

    def status(self, timeout: float) -> int | None:
        """Wait for the command to end; return its exit status (negative: a signal), ``None`` if it runs."""
        if not self._told and _ended(self._report, timeout):
            self._told = os.read(self._report, 256)
        return int(json.loads(self._told)["status"]) if self._told else None

    def close(self) -> None:
        """Let go of it; a command that was not started ends."""
        while self._files:
            os.close(self._files.pop())


class Launcher:
    """The small interpreter; started when it is first needed, ends with this object or this process."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def launch(self, plan: Plan, stdin: int, stdout: int, stderr: int) -> Launched:
        """Return the command when everything is in place.

        Raises: StepFailed where the root could not be made; EngineError where the launcher is gone.
        """
        control = self._ready()
        file = os.memfd_create("plan")
        go, ours_go = os.pipe()
        ours_executed, executed = os.pipe()
        ours_report, report = os.pipe()
        theirs = [file, stdin, stdout, stderr, go, executed, report]
        ours = [ours_go, ours_executed, ours_report]
        try:
            text = json.dumps(asdict(plan)).encode("utf-8", "surrogateescape")
            os.pwrite(file, text, 0)
            socket.send_fds(control, [b"l"], theirs)
            for one in (go, executed, report):
                os.close(one)
                theirs.remove(one)
            answer = _first_line(ours_report)
            if "error" in answer:
                raise StepFailed(
                    f"the root file system of the process could not be made: {answer['error']}",
                    hint="see dmesg; in a container vmvc needs --privileged",
                )
            launched = Launched(answer["keeper"], answer["pid"], ours_go, ours_executed, ours_report)
            ours = []
            return launched
        except ConnectionError as error:
            self.close()
            raise EngineError("the process launcher has ended", hint="try again; see dmesg") from error
        finally:
            for one in {file, *(set(theirs) - {stdin, stdout, stderr}), *ours}:
                os.close(one)

    def close(self) -> None:
        """End it; guests that run go on."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            self._process.wait()
            self._process = None

    def _ready(self) -> socket.socket:
        if self._control is None:
            self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                script = str(Path(__file__).with_name("process_launcher.py"))
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-B", script, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
        return self._control


def _ended(file: int, timeout: float) -> bool:
    poll = select.poll()
    poll.register(file, select.POLLIN)
    return bool(poll.poll(max(0.0, timeout) * 1000))


def _first_line(report: int) -> dict[str, Any]:
    if not _ended(report, READY_WITHIN):
        raise DeadlineExceeded(
            "the process launcher does not answer", hint="see whether the host is overloaded"
        )
    # Byte by byte: a command that is killed at once adds a second line, and that one is for status().
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(report, 1)
        if not byte:
            raise ConnectionError
        line += byte
    answer: dict[str, Any] = json.loads(line)
    return answer
