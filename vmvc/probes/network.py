"""A question over the network -> the instant of its first right answer, asked in overlapping attempts."""

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
from typing import Any, Final

from vmvc.console import Search
from vmvc.contract import Event
from vmvc.errors import StepFailed
from vmvc.probes.watch import SECOND, Watch, nanoseconds
from vmvc.spec import Http, Tcp

LIFE: Final = 16
"""Intervals that an ordinary attempt may take."""
PATIENCE: Final = 10 * SECOND
"""Nanoseconds that any attempt may take."""
UNTOLD: Final = SECOND
"""Nanoseconds between two attempts before the guest has announced its network."""
AT_ONCE: Final = 4
"""Attempts in flight after that: a closed port then says so at once, and an open one has a queue, in which
the first is answered first. That of a small server holds ten."""
MOST_BYTES: Final = 65536
"""An answer that has not said what is wanted by then is not the wanted one."""


@dataclass(frozen=True, slots=True)
class Question:
    """What to send, and how to judge what came back: ready or not (``None``: not known yet), and why."""

    send: bytes
    judge: Callable[[bytes], tuple[bool | None, str]]


_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\r\n]*)?\r?\n")


def http(probe: Http) -> Question:
    """Ask for the status line only; the same bytes on every backend, so ``Host`` names no address."""

    def judge(answer: bytes) -> tuple[bool | None, str]:
        if match := _STATUS_LINE.match(answer):
            return int(match[1]) == probe.status, f"HTTP {match[1].decode()}"
        if b"\n" in answer or len(answer) >= MOST_BYTES or not b"HTTP/1.".startswith(answer[:7]):
            return False, f"an answer that is not HTTP: {answer[:40]!r}"
        return None, "an unfinished answer"

    request = f"GET {probe.path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: vmvc\r\nAccept: */*\r\n"
    return Question((request + "Connection: close\r\n\r\n").encode("ascii"), judge)


def tcp(probe: Tcp) -> Question:
    expected = probe.expect.encode()

    def judge(answer: bytes) -> tuple[bool | None, str]:
        if expected in answer:
            return True, "the expected bytes"
        return (False if len(answer) >= MOST_BYTES else None), f"other bytes: {answer[:40]!r}"

    return Question(probe.send.encode(), judge)


class Attempt:
    """One connection and what it has said so far."""

    def __init__(self, question: Question, family: socket.AddressFamily, began: int, life: int) -> None:
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

    def go_on(self, events: int) -> bool | None:
        """Do what the selector said is possible; return ready or not, ``None`` where that is not known yet.

        Nothing is received but what was there when the selector returned: that is the answer's instant.
        """
        try:
            if not self._connected:
                self._finish_connecting()
            if self._unsent:
                self._unsent = self._unsent[self.socket.send(self._unsent) :]
            if not events & selectors.EVENT_READ:
                return None
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


def ask(
    question: Question,
    endpoint: tuple[str, int],
    interval: float,
    watch: Watch,
    network: Search | None = None,
) -> Event:
    """Return the instant of the first right answer; ``network`` finds the announcement of the guest's."""
    host, port = endpoint
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise StepFailed(
            f"the guest's address {host}:{port} cannot be resolved: {error.strerror}",
            hint="use an engine host whose name resolves here",
        ) from error
    attempts = Attempts(question, family, address, nanoseconds(interval), watch, network)
    with selectors.DefaultSelector() as attempts.selector:
        try:
            return attempts.until_ready()
        finally:
            attempts.close()


class Proofs:
    """Attempts that got no answer, and so prove that the guest was not ready when they began."""

    def __init__(self) -> None:
        self._begins: dict[float, list[int]] = {}
        """For how long without an answer (for ever: it failed) -> when such attempts began, sorted."""

    def add(self, began: int, unanswered: float, oldest: int) -> None:
        """Note an attempt that has ended; ``oldest`` is when the oldest that may yet be answered began."""
        begins = self._begins.setdefault(unanswered, [])
        insort(begins, began)
        while len(begins) > 1 and begins[1] < oldest:
            del begins[0]

    def latest(self, began: int, took: int) -> int | None:
        """Return when the latest such attempt before ``began`` began that was unanswered for ``took``."""
        found = [
            begins[earlier - 1]
            for unanswered, begins in self._begins.items()
            if unanswered >= took and (earlier := bisect_left(begins, began))
        ]
        return max(found, default=None)

    def __bool__(self) -> bool:
        return bool(self._begins)


class Attempts:
    """Overlapping attempts, and what those that ended prove."""

    def __init__(
        self,
        question: Question,
        family: socket.AddressFamily,
        address: tuple[Any, ...],
        interval: int,
        watch: Watch,
        network: Search | None,
    ) -> None:
        self.selector: selectors.BaseSelector
        self._question = question
        self._family = family
        self._address = address
        self._interval = interval
        self._watch = watch
        self._network = network
        self._most = math.inf if network is None else AT_ONCE
        self._flying: dict[Attempt, None] = {}
        self._proofs = Proofs()

    def until_ready(self) -> Event:
        watch = self._watch
        count = 0
        due = awake = watch.called
        while True:
            now = watch.check()
            if self._network is not None and self._network.ended:
                self._start_over(self._network.wait(0), now)
                due = now
            if now >= due:
                due = now + (self._interval if self._network is None else max(self._interval, UNTOLD))
                if len(self._flying) < self._most:
                    count += 1
                    # count & -count is the largest power of two that divides it: the ruler sequence.
                    self._begin(min(self._interval * LIFE * (count & -count), PATIENCE))
            pause = watch.pause(due if self._network is None else min(due, now + self._interval))
            deaf = watch.clock.now() - awake
            heard = self.selector.select(pause)
            awake = watch.clock.now()
            for key, events in heard:
                attempt = key.data
                verdict = attempt.go_on(events)
                if verdict:
                    gap = attempt.began - self._latest_proof(attempt, awake - attempt.began)
                    return Event(awake, (gap + deaf) / SECOND)
                if verdict is None:
                    self._listen_to(attempt)
                else:
                    self._end(attempt, math.inf)
            # Only now: after a pause of this process the answer may have been waiting.
            for attempt in [attempt for attempt in self._flying if awake >= attempt.began + attempt.life]:
                self._end(attempt, attempt.life)

    def close(self) -> None:
        for attempt in self._flying:
            attempt.socket.close()

    def _start_over(self, told: Event | None, now: int) -> None:
        """Give up attempts that began before the guest announced its network, or will announce nothing."""
        self._network = None
        self._most = math.inf if told is None else AT_ONCE
        for attempt in list(self._flying):
            self._end(attempt, now - attempt.began)
        if told is not None:
            self._proofs.add(told.at, math.inf, told.at)

    def _begin(self, life: int) -> None:
        attempt = Attempt(self._question, self._family, self._watch.clock.now(), life)
        self._flying[attempt] = None
        self.selector.register(attempt.socket, attempt.wants, attempt)
        if not attempt.connect(self._address):
            self._end(attempt, math.inf)

    def _listen_to(self, attempt: Attempt) -> None:
        if not self._proofs:
            self._watch.seen = attempt.seen
        if self.selector.get_key(attempt.socket).events != attempt.wants:
            self.selector.modify(attempt.socket, attempt.wants, attempt)

    def _end(self, attempt: Attempt, unanswered: float) -> None:
        self._watch.seen = attempt.seen
        self.selector.unregister(attempt.socket)
        attempt.socket.close()
        oldest = next(iter(self._flying)).began
        del self._flying[attempt]
        self._proofs.add(attempt.began, unanswered, oldest)

    def _latest_proof(self, answered: Attempt, took: int) -> int:
        """Return the latest instant at which the guest is known not to have been ready."""
        flying = [attempt.began for attempt in self._flying if attempt.began < answered.began]
        ended = self._proofs.latest(answered.began, took)
        return max([*flying, self._watch.called if ended is None else ended])
