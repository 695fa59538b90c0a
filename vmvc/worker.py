"""The child process in which engines are touched, and the parent's handle on it.

An SDK call can block or crash; here it takes only this process with it. Requests and answers are pickles over
a socket pair. While it works, the child announces each step with the seconds it may take, so that the parent
can end it when a call blocks. When the parent dies, the child notices at once, removes its instance and ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any, Final

from vmvc import fleet, owner
from vmvc.contract import Backend, Guest, MonotonicClock, Tag
from vmvc.errors import DeadlineExceeded, Interrupted, VmvcError
from vmvc.job import Job, Outcome
from vmvc.trial import DESTROY_TIMEOUT, Trial

GRACE: Final = 5.0
"""Seconds beyond a step's deadline before the child is ended; a step that keeps it itself reports better."""

_CHILD: Final = "from vmvc.worker import main; main()"


class WorkerDied(VmvcError):
    """The child process, ``pid``, ended in the middle of a request; ``step`` is what it was doing."""

    def __init__(self, what: str, *, step: str, pid: int, hint: str = "") -> None:
        super().__init__(what, hint=hint)
        self.step = step
        self.pid = pid


@dataclass(frozen=True, slots=True)
class Step:
    """An announcement: what comes next and when (monotonic nanoseconds) it must be over."""

    name: str
    deadline: int


# --- the parent's side ------------------------------------------------------------------------------------


class Worker:
    """A handle on the child; starts it when it is first needed and after it has died.

    ``step``: what it does now. ``delivered``: what a trial gave whose instance is still to be removed.
    """

    def __init__(self, log: Path | None = None) -> None:
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._lifeline = -1
        self._busy = False
        self.step = Step("start-up", 0)
        self.delivered: Outcome | None = None

    def call(
        self, verb: str, *arguments: Any, timeout: float, tick: Callable[[], None] = lambda: None
    ) -> Any:
        """Have the child do ``verb``; ``tick`` is called several times a second and may raise.

        Raises: what the child raised; DeadlineExceeded where a step did not end in time (the child is then
        gone); WorkerDied where the child crashed.
        """
        connection = self._ensure()
        self.step = Step(verb, time.monotonic_ns() + round(timeout * 1e9))
        self.delivered = None
        self._busy = True
        try:
            connection.send((verb, arguments))
            while True:
                if connection.poll(0.1):
                    answer = connection.recv()
                    match answer:
                        case Step():
                            self.step = answer
                        case Outcome():
                            self.delivered = answer
                        case _:
                            break
                elif time.monotonic_ns() > self.step.deadline + round(GRACE * 1e9):
                    self.kill()
                    raise DeadlineExceeded(
                        f"{self.step.name} did not return in time; its process was ended",
                        hint="see whether the engine still answers: vmvc doctor",
                    )
                tick()
        except (EOFError, ConnectionError) as error:
            pid = self._process.pid if self._process is not None else 0
            died = WorkerDied(self._epitaph(), step=self.step.name, pid=pid, hint=self._log_hint())
            raise died from error
        self._busy = False
        good, value = answer
        if good:
            return value
        raise value

    def interrupt(self) -> None:
        """Ask the child to give up what it does and remove its instance."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the child at once; harmless where there is none."""
        if self._process is not None:
            self._process.kill()
        self._release()

    def close(self) -> None:
        """Let the child end by itself, also in the middle of a request; harmless where there is none."""
        if self._process is None or self._connection is None:
            return
        self._connection.close()
        if self._busy:
            self.interrupt()
        try:
            self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._release()

    def _ensure(self) -> Connection:
        if self._process is not None and self._process.poll() is None and self._connection is not None:
            return self._connection
        self._release()
        ours, theirs = socket.socketpair()
        lifeline, self._lifeline = os.pipe()
        sink = self._log.open("ab") if self._log is not None else None
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _CHILD, str(theirs.fileno()), str(lifeline)],
                stdin=subprocess.DEVNULL,
                stdout=sink or subprocess.DEVNULL,
                stderr=sink or subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), lifeline),
                start_new_session=True,
            )
        finally:
            theirs.close()
            os.close(lifeline)
            if sink is not None:
                sink.close()
        self._connection = Connection(ours.detach())
        return self._connection

    def _release(self) -> None:
        self._busy = False
        if self._process is not None:
            self._process.wait()
            self._process = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1

    def _epitaph(self) -> str:
        code = self._process.wait() if self._process is not None else 0
        self._release()
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return f"the process that runs trials ended {how} during {self.step.name}"

    def _log_hint(self) -> str:
        return f"its last words are in {self._log}" if self._log is not None else ""


# --- the child's side -------------------------------------------------------------------------------------


class _Service:
    """What the child can be asked to do; each backend object lives on here from one request to the next."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._clock = MonotonicClock()
        self._backends: dict[object, Backend] = {}
        self._prepared: set[object] = set()
        self.announced = ""

    def give_up(self, signum: int, frame: FrameType | None) -> None:
        """Answer SIGTERM: leave whatever is under way, but let a destroy come to its end."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if self.announced != "destroy":
            raise Interrupted("interrupted")

    def announce(self, step: str, seconds: float) -> None:
        """Tell the parent; where it is gone nobody is told, and the instance must go all the same."""
        self.announced = step
        with contextlib.suppress(BrokenPipeError):
            self._connection.send(Step(step, self._clock.now() + round(seconds * 1e9)))

    def deliver(self, outcome: Outcome) -> None:
        """Give the parent what was measured, before the instance is removed."""
        with contextlib.suppress(BrokenPipeError):
            self._connection.send(outcome)

    def check(self, backend: Backend) -> object:
        return tuple(self._here(backend).check())

    def settled(self, backend: Backend) -> object:
        return dict(self._here(backend).settled())

    def describe(self, backend: Backend) -> object:
        return dict(self._here(backend).describe())

    def prepare(self, backend: Backend, guest: Guest) -> object:
        self._prepared.add((_key(backend), repr(guest)))
        return self._here(backend).prepare(guest)

    def trial(self, job: Job) -> object:
        backend = self._here(job.backend)
        if (_key(backend), repr(job.guest)) not in self._prepared:
            self.announce("prepare", job.timeout + 3600.0)
            self.prepare(backend, job.guest)
        outcome = Trial(replace(job, backend=backend), self.announce, self._clock, self.deliver).run()
        if job.absent and outcome.failure is not None:
            self._prepared.clear()  # The image may still be gone.
        return outcome

    def renew(self, backend: Backend, guest: Guest) -> None:
        """Remove the guest's image and have it again."""
        self._here(backend).forget(guest)
        self._here(backend).fetch(guest)

    def destroy(self, backend: Backend, tag: Tag, guest: Guest) -> None:
        self._here(backend).instance(tag, guest).destroy()

    def disband(self, backend: Backend, tag: Tag, guest: Guest) -> None:
        """Destroy a trial's instance after its whole fleet, all of them though one of them fails."""
        here = self._here(backend)
        with contextlib.ExitStack() as removals:
            removals.callback(here.instance(tag, guest).destroy)
            for one in reversed(fleet.others(here.leftovers(), tag)):
                removals.callback(one.destroy)
                removals.callback(self.announce, "destroy", DESTROY_TIMEOUT)

    def leftovers(self, backend: Backend) -> object:
        """Return the tag of everything that is there, each with whether its owner still lives."""
        return [(one.tag, owner.alive(one.tag.owner)) for one in self._here(backend).leftovers()]

    def sweep(self, backend: Backend, tags: Sequence[Tag]) -> object:
        """Remove those of ``tags`` that are still there; return what was removed."""
        swept = []
        for one in self._here(backend).leftovers():
            if one.tag in tags:
                self.announce("destroy", DESTROY_TIMEOUT)
                one.destroy()
                swept.append(one.tag)
        return swept

    def close(self) -> None:
        for backend in self._backends.values():
            backend.close()

    def _here(self, backend: Backend) -> Backend:
        return self._backends.setdefault(_key(backend), backend)


def _key(backend: Backend) -> object:
    return (type(backend), backend.name, backend.options.model_dump_json())


def _serve(service: _Service, connection: Connection) -> None:
    """Answer requests until the parent closes the connection."""
    try:
        while True:
            try:
                verb, arguments = connection.recv()
            except EOFError:
                return
            try:
                answer = (True, getattr(service, verb)(*arguments))
            except VmvcError as error:
                answer = (False, error)
            service.announced = ""
            connection.send(answer)
    finally:
        service.close()


def _watch(lifeline: int) -> None:
    """Wait for the parent's end, then interrupt this process as the parent would have."""
    os.read(lifeline, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Be the child; the arguments are two file descriptors: the socket and the lifeline."""
    connection = Connection(int(sys.argv[1]))
    for inherited in (int(sys.argv[1]), int(sys.argv[2])):
        os.set_inheritable(inherited, False)
    service = _Service(connection)
    signal.signal(signal.SIGTERM, service.give_up)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch, args=(int(sys.argv[2]),), daemon=True).start()
    with contextlib.suppress(Interrupted, BrokenPipeError):
        _serve(service, connection)
