"""A command -> what it did inside a machine, by the channel of the minimal init: any connected socket."""

from __future__ import annotations

import base64
import binascii
import math
import socket
import struct
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from queue import Empty, SimpleQueue
from typing import Final

from vmvc.backends.streams import too_much
from vmvc.contract import MOST_OUTPUT, Completed
from vmvc.errors import DeadlineExceeded, GuestDied, StepFailed

TIMED_OUT: Final = 124
_OPEN: Final = b"open"


def late(argv: Sequence[str], timeout: float) -> DeadlineExceeded:
    """Return the error of a command that took too long."""
    return DeadlineExceeded(
        f"'{argv[0]}' did not end within {timeout:g} s", hint="give it more time, or see why it hangs"
    )


class InitChannel:
    """Requests to the minimal init and its answers, a line each; several may be under way.

    A request waits in the channel until the guest has opened it; in a serial port it would be lost instead,
    so with ``serial`` it waits here until the guest says that it has.
    """

    def __init__(self, connected: socket.socket, *, serial: bool = False) -> None:
        self._socket = connected
        self._open = threading.Event()
        if not serial:
            self._open.set()
        self._numbers = count(1)
        self._waiting: dict[bytes, SimpleQueue[list[bytes] | None]] = {}
        self._sending = threading.Lock()
        self._whole = True
        self._reader: threading.Thread | None = None

    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes) -> Completed:
        """Run a command.

        Raises: DeadlineExceeded; GuestDied where the machine ends first; StepFailed.
        """
        deadline = time.monotonic() + timeout
        self._listen()
        if not self._open.wait(timeout):
            raise late(argv, timeout)
        number = b"%d" % next(self._numbers)
        seconds = b"%d" % max(1, math.ceil(timeout))
        fields = [number, seconds, base64.b64encode(stdin) or b"-"]
        fields += [base64.b64encode(argument.encode()) or b"=" for argument in argv]
        answers = self._waiting[number] = SimpleQueue()
        try:
            self._send(b" ".join(fields) + b"\n", argv, timeout)
            answer = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty as error:
            raise late(argv, timeout) from error
        finally:
            del self._waiting[number]
        if answer is None:
            raise GuestDied(f"the machine ended while '{argv[0]}' ran", hint="read the guest's console")
        done = _completed(answer)
        if done.returncode == TIMED_OUT and time.monotonic() >= deadline:
            raise late(argv, timeout)
        if max(len(done.stdout), len(done.stderr)) > MOST_OUTPUT:
            raise too_much(argv)
        return done

    def close(self) -> None:
        """End the channel; whoever waits is told."""
        _hang_up(self._socket)
        if self._reader is not None:
            self._reader.join()
        self._socket.close()

    def _listen(self) -> None:
        with self._sending:
            if self._reader is None:
                self._reader = threading.Thread(target=self._read, name="guest commands", daemon=True)
                self._reader.start()

    def _send(self, line: bytes, argv: Sequence[str], timeout: float) -> None:
        with self._sending:
            if not self._whole:
                raise StepFailed(
                    "the way into the guest is stuck in the middle of an earlier command",
                    hint="give that command less input",
                )
            # A limit for sending alone: the reader shares the socket and waits for ever.
            limit = struct.pack("ll", *divmod(max(1, round(timeout * 1e6)), 10**6))
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
            self._whole = False
            try:
                self._socket.sendall(line)
            except BlockingIOError as error:
                raise late(argv, timeout) from error
            except OSError as error:
                raise GuestDied(
                    f"the machine ended before '{argv[0]}' ran", hint="read the guest's console"
                ) from error
            self._whole = True

    def _read(self) -> None:
        with self._socket.makefile("rb") as lines:
            try:
                for line in lines:
                    number, *answer = line.split() or [b""]
                    if number == _OPEN:
                        self._open.set()
                    elif waiting := self._waiting.get(number):
                        waiting.put(answer)
            except OSError:
                pass  # the machine ended, as the end of the stream says it too
        self._open.set()  # whoever waits to send finds that out
        for waiting in list(self._waiting.values()):
            waiting.put(None)


def _completed(answer: list[bytes]) -> Completed:
    try:
        status, stdout, stderr = answer
        return Completed(int(status), _decoded(stdout), _decoded(stderr))
    except (ValueError, binascii.Error) as error:
        raise StepFailed(
            f"the guest's init gave an answer that makes no sense: {b' '.join(answer)[:80]!r}",
            hint="report it with the guest's image",
        ) from error


def _decoded(field: bytes) -> bytes:
    return b"" if field == b"-" else base64.b64decode(field, validate=True)


def _hang_up(connected: socket.socket) -> None:
    with suppress(OSError):  # the other end has gone already
        connected.shutdown(socket.SHUT_RDWR)
