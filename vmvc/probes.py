"""A guest that is starting -> the instant at which it was ready, and how late that instant may be.

One probe for every backend. ``console`` is told; ``http``, ``tcp`` and ``exec`` ask again and again.

Attempts over the network overlap: one begins every ``interval``, whatever became of those before it. A
forwarded port accepts long before the guest does (QEMU's user network then holds the connection for seconds,
Docker's proxy closes it at once), so an attempt that began too early says nothing about now, and waiting for
it would cost seconds. Lives of attempts follow the ruler sequence (16 intervals; every second attempt 32,
every fourth 64 ... up to 10 s), which keeps a few dozen in flight and still sees a guest that needs seconds
for its answer.

The resolution of a polled instant is an upper bound of its lateness, under one assumption: a guest that is
ready answers every attempt equally fast. Let the attempt that began at ``s`` be answered after ``L``; ``L``
is what asking costs and is no error. An earlier attempt proves that the guest was not ready when it began if
it failed of itself or stayed unanswered for at least ``L``; one that was given up sooner proves nothing. From
the latest proof to ``s`` the guest may have been ready unnoticed: that gap, as it really was (a pause of this
process widens it), plus the time for which nobody listened just before the answer was seen, is the
resolution. Where no attempt came before, it counts from the call of ``wait``.
"""

from __future__ import annotations

import errno
import math
import os
import re
import selectors
import socket
import struct
from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from vmvc.console import ConsoleTap
from vmvc.contract import Clock, Event, Instance
from vmvc.errors import (
    DeadlineExceeded,
    GuestDied,
    StepFailed,
    TrialError,
    Unavailable,
)
from vmvc.spec import Exec, Http, Ready, ReadyConsole, ReadyExec, ReadyHttp, ReadyTcp, Tcp
from vmvc.units import show_seconds

__all__ = ["ConsoleTap", "wait"]

SECOND: Final = 10**9
SHORTEST_INTERVAL: Final = 0.001
"""Seconds; a shorter interval would be a busy loop that steals CPU from the guest."""
LIFE: Final = 16
"""Intervals that an ordinary attempt may take."""
PATIENCE: Final = 10 * SECOND
"""Nanoseconds that any attempt may take."""
ALIVE_EVERY: Final = SECOND // 4
MOST_BYTES: Final = 65536
"""An answer that has not said what is wanted by then is not the wanted one."""


def wait(ready: Ready, instance: Instance, console: ConsoleTap | None, clock: Clock, deadline: int) -> Event:
    """Return the instant at which the guest was ready; ``deadline`` is an instant on ``clock``.

    ``console`` is ``None`` where the platform has none.

    Raises: DeadlineExceeded (with what was seen last); GuestDied (with the end of the console); StepFailed
    where the console broke; Unavailable where the probe cannot work on this backend.
    """
    watch = _Watch(instance, console, clock, deadline)
    match ready:
        case ReadyHttp(http=probe):
            return _ask(_http(probe), instance.endpoint(probe.port), probe.interval, watch)
        case ReadyTcp(tcp=probe):
            return _ask(_tcp(probe), instance.endpoint(probe.port), probe.interval, watch)
        case ReadyExec(exec=probe):
            return _execute(probe, instance, watch)
        case ReadyConsole(console=probe):
            return _listen(probe.pattern, console, watch)


class _Watch:
    """Ends a wait that can no longer succeed."""

    def __init__(self, instance: Instance, console: ConsoleTap | None, clock: Clock, deadline: int) -> None:
        self.clock = clock
        self.called = clock.now()
        self.deadline = deadline
        self.seen = "nothing"
        self._instance = instance
        self._console = console
        self._next = self.called
        self._told = False

    def check(self) -> int:
        """Return now.

        Raises: GuestDied, DeadlineExceeded, StepFailed.
        """
        now = self.clock.now()
        ended = False
        if self._console is not None:
            self._console.raise_error()
            ended = self._console.ended and not self._told
        if ended or now >= self._next:
            self._told = self._told or ended
            self._next = now + ALIVE_EVERY
            if not self._instance.alive():
                self._died()
        if now >= self.deadline:
            self._too_late(now)
        return now

    def pause(self, until: int) -> float:
        """Return the seconds until the next thing to do: ``until``, a look at the guest or the deadline."""
        return max(0, min(until, self._next, self.deadline) - self.clock.now()) / SECOND

    def _died(self) -> NoReturn:
        if self._console is not None:
            self._console.drain(0.2)
        raise GuestDied(
            f"the guest ended before it was ready; {self._last_seen(10)}",
            hint="run the guest's command by hand in the same image and read its error",
        )

    def _too_late(self, now: int) -> NoReturn:
        waited = show_seconds((now - self.called) / SECOND)
        raise DeadlineExceeded(
            f"the guest was not ready after {waited}; {self._last_seen(5)}",
            hint="give it more time (trials.timeout), or check guest.ready against what the guest serves",
        )

    def _last_seen(self, lines: int) -> str:
        if self._console is None:
            return f"last seen: {self.seen}"
        printed = self._console.last_lines(lines)
        return f"last seen: {self.seen}; " + (
            f"console:\n{printed}" if printed else "its console stayed silent"
        )


# --- over the network -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Question:
    """What to send, and how to judge what came back: ready or not (``None``: not known yet), and why."""

    send: bytes
    judge: Callable[[bytes], tuple[bool | None, str]]


_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\r\n]*)?\r?\n")


def _http(probe: Http) -> _Question:
    """Ask for the status line only; the same bytes on every backend, so ``Host`` names no address."""

    def judge(answer: bytes) -> tuple[bool | None, str]:
        if match := _STATUS_LINE.match(answer):
            return int(match[1]) == probe.status, f"HTTP {match[1].decode()}"
        if b"\n" in answer or len(answer) >= MOST_BYTES or not b"HTTP/1.".startswith(answer[:7]):
            return False, f"an answer that is not HTTP: {answer[:40]!r}"
        return None, "an unfinished answer"

    request = f"GET {probe.path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: vmvc\r\nAccept: */*\r\n"
    return _Question((request + "Connection: close\r\n\r\n").encode("ascii"), judge)


def _tcp(probe: Tcp) -> _Question:
    expected = probe.expect.encode()

    def judge(answer: bytes) -> tuple[bool | None, str]:
        if expected in answer:
            return True, "the expected bytes"
        return (False if len(answer) >= MOST_BYTES else None), f"other bytes: {answer[:40]!r}"

    return _Question(probe.send.encode(), judge)


class _Attempt:
    """One connection and what it has said so far."""

    def __init__(self, question: _Question, family: socket.AddressFamily, began: int, life: int) -> None:
        self.began = began
        self.life = life
        self.seen = "no answer to the connection"
        self._question = question
        self._unsent = question.send
        self._answer = b""
        self._connected = False
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        # A reset leaves nothing behind: no port in TIME_WAIT here, no half-open connection in the guest.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    @property
    def wants(self) -> int:
        """What the selector shall wait for."""
        sends = self._unsent or not self._connected
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if sends else 0)

    def connect(self, address: tuple[Any, ...]) -> bool:
        """Begin; return whether there is something to wait for."""
        number = self.socket.connect_ex(address)
        if number not in (0, errno.EINPROGRESS):
            self.seen = os.strerror(number).lower()
        return number in (0, errno.EINPROGRESS)

    def go_on(self) -> bool | None:
        """Send and receive what is possible; return ready or not, ``None`` where that is not known yet."""
        try:
            if not self._connected:
                self._finish_connecting()
            if self._unsent:
                self._unsent = self._unsent[self.socket.send(self._unsent) :]
            data = self.socket.recv(MOST_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            self.seen = (error.strerror or str(error)).lower()
            return False
        if not data:
            self.seen = (
                f"connection closed after {self.seen}" if self._answer else "connection closed, no answer"
            )
            return False
        self._answer += data
        verdict, self.seen = self._question.judge(self._answer)
        return verdict

    def _finish_connecting(self) -> None:
        number = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        # With nobody listening, a connection to a local port can meet itself (simultaneous open).
        if not number and self.socket.getsockname() == self.socket.getpeername():
            number = errno.ECONNREFUSED
        if number:
            raise OSError(number, os.strerror(number))
        self._connected = True
        self.seen = "connected, no answer"


def _ask(question: _Question, endpoint: tuple[str, int], interval: float, watch: _Watch) -> Event:
    host, port = endpoint
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise StepFailed(
            f"the guest's address {host}:{port} cannot be resolved: {error.strerror}",
            hint="use an engine host whose name resolves here",
        ) from error
    attempts = _Attempts(question, family, address, round(max(interval, SHORTEST_INTERVAL) * SECOND), watch)
    with selectors.DefaultSelector() as attempts.selector:
        try:
            return attempts.until_ready()
        finally:
            attempts.close()


class _Attempts:
    """Overlapping attempts, and what those that ended prove."""

    def __init__(
        self,
        question: _Question,
        family: socket.AddressFamily,
        address: tuple[Any, ...],
        interval: int,
        watch: _Watch,
    ) -> None:
        self.selector: selectors.BaseSelector
        self._question = question
        self._family = family
        self._address = address
        self._interval = interval
        self._watch = watch
        self._flying: dict[_Attempt, None] = {}
        self._proofs: dict[float, list[int]] = {}
        """For how long without an answer (for ever: it failed) -> when such attempts began, sorted."""

    def until_ready(self) -> Event:
        watch = self._watch
        count = 0
        due = awake = watch.called
        while True:
            now = watch.check()
            for attempt in [attempt for attempt in self._flying if now >= attempt.began + attempt.life]:
                self._end(attempt, attempt.life)
            if now >= due:
                count += 1
                due = max(due + self._interval, now)
                # count & -count is the largest power of two that divides it: the ruler sequence.
                self._begin(min(self._interval * LIFE * (count & -count), PATIENCE))
            asleep = watch.clock.now()
            heard = self.selector.select(watch.pause(due))
            deaf = asleep - awake
            awake = watch.clock.now()
            for key, _ in heard:
                attempt = key.data
                verdict = attempt.go_on()
                if verdict:
                    gap = attempt.began - self._latest_proof(attempt.began, awake - attempt.began)
                    return Event(awake, (gap + deaf) / SECOND)
                if verdict is None:
                    self._listen_to(attempt)
                else:
                    self._end(attempt, math.inf)

    def close(self) -> None:
        for attempt in self._flying:
            attempt.socket.close()

    def _begin(self, life: int) -> None:
        attempt = _Attempt(self._question, self._family, self._watch.clock.now(), life)
        self._flying[attempt] = None
        self.selector.register(attempt.socket, attempt.wants, attempt)
        if not attempt.connect(self._address):
            self._end(attempt, math.inf)

    def _listen_to(self, attempt: _Attempt) -> None:
        if self.selector.get_key(attempt.socket).events != attempt.wants:
            self.selector.modify(attempt.socket, attempt.wants, attempt)

    def _end(self, attempt: _Attempt, unanswered: float) -> None:
        self._watch.seen = attempt.seen
        self.selector.unregister(attempt.socket)
        attempt.socket.close()
        oldest = next(iter(self._flying)).began
        del self._flying[attempt]
        begins = self._proofs.setdefault(unanswered, [])
        insort(begins, attempt.began)
        while len(begins) > 1 and begins[1] < oldest:
            del begins[0]

    def _latest_proof(self, began: int, took: int) -> int:
        """Return the beginning of the latest attempt before ``began`` that proves "not ready yet"."""
        proofs = [attempt.began for attempt in self._flying if attempt.began < began]
        for unanswered, begins in self._proofs.items():
            if unanswered >= took and (earlier := bisect_left(begins, began)):
                proofs.append(begins[earlier - 1])
        return max(proofs, default=self._watch.called)


# --- inside the guest -------------------------------------------------------------------------------------


def _execute(probe: Exec, instance: Instance, watch: _Watch) -> Event:
    clock = watch.clock
    interval = round(max(probe.interval, SHORTEST_INTERVAL) * SECOND)
    before = watch.called
    patience = PATIENCE
    while True:
        began = watch.check()
        try:
            ended = instance.run(probe.command, timeout=min(patience, watch.deadline - began) / SECOND)
        except GuestDied:
            raise
        except DeadlineExceeded:
            watch.seen = f"no exit within {show_seconds(patience / SECOND)}"
            patience *= 2
        except TrialError as error:
            watch.seen = error.what
        else:
            if ended.returncode == 0:
                return Event(clock.now(), (began - before) / SECOND)
            said = ended.stderr.decode(errors="replace").strip()[-200:]
            watch.seen = f"exit status {ended.returncode}" + (f" ({said})" if said else "")
        before = began
        while clock.now() < began + interval:
            clock.sleep(watch.pause(began + interval))
            watch.check()


# --- on the console ---------------------------------------------------------------------------------------


def _listen(pattern: str, console: ConsoleTap | None, watch: _Watch) -> Event:
    if console is None:
        raise Unavailable("this backend shows no console to search", hint="use another probe in guest.ready")
    line = console.search(re.compile(pattern))
    watch.seen = f"no line that matches {pattern!r}"
    while True:
        ended = console.ended
        if found := line.wait(watch.pause(watch.deadline)):
            return found
        watch.check()
        if ended:
            watch.clock.sleep(ALIVE_EVERY / SECOND)
            watch.check()
            raise StepFailed(
                f"the console ended without a line that matches {pattern!r}, and the guest still runs",
                hint="check guest.ready.console.pattern, or use another probe",
            )
