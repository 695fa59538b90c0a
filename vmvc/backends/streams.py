"""What a guest prints -> a stream that can be read with a timeout and closed from another thread."""

from __future__ import annotations

import os
import queue
import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from vmvc.contract import MOST_OUTPUT
from vmvc.errors import StepFailed

MOST_KEPT: Final = 16 * 2**20
"""Bytes that wait for a reader; beyond it the oldest are dropped, so that a guest is never held up."""
MOST_HELD: Final = 2**20
"""Bytes that wait for a reader before the source is held up, where nothing may be dropped."""


def too_much(argv: Sequence[str]) -> StepFailed:
    """Return the complaint about a command that prints without end."""
    return StepFailed(
        f"'{argv[0]}' printed more than {MOST_OUTPUT // 2**20} MiB and was ended",
        hint="have it print less, or write to a file",
    )


class Fed:
    """A stream that somebody else fills, chunk by chunk. A ``vmvc.contract.ByteStream``."""

    def __init__(self) -> None:
        self._chunks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._ended = False

    def write(self, chunk: bytes) -> None:
        """Append a chunk; an empty one ends the stream."""
        self._chunks.put(chunk)

    def read(self, timeout: float) -> bytes | None:
        """Return the next chunk, ``b""`` at the end, ``None`` where none came within ``timeout`` seconds."""
        if self._ended:
            return b""
        try:
            chunk = self._chunks.get(timeout=timeout)
        except queue.Empty:
            return None
        self._ended = not chunk
        return chunk

    def close(self) -> None:
        """End the stream; may be called twice, and while another thread reads."""
        self.write(b"")


class Pump:
    """A thread that reads ``source`` as soon as there is something, until it returns ``b""``.

    ``unblock`` ends a read that is under way; ``release`` is called when nothing reads any more.
    With ``holds`` the source waits for the reader rather than lose anything. A ``vmvc.contract.ByteStream``.
    """

    def __init__(
        self,
        source: Callable[[], bytes],
        unblock: Callable[[], None],
        release: Callable[[], None] = lambda: None,
        *,
        name: str,
        holds: bool = False,
    ) -> None:
        self._holds = holds
        self._source = source
        self._unblock = unblock
        self._release = release
        self._chunks: deque[bytes] = deque()
        self._waiting = 0
        self._ended = False
        self._closed = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def read(self, timeout: float) -> bytes | None:
        """Return what arrived, ``b""`` at the end, ``None`` where nothing came within ``timeout`` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._chunks or self._ended, timeout)
            if self._chunks:
                arrived = b"".join(self._chunks)
                self._chunks.clear()
                self._waiting = 0
                self._changed.notify_all()
                return arrived
            if self._error is not None and not self._closed:
                raise self._error
            return b"" if self._ended else None

    def close(self) -> None:
        """End the thread; may be called twice, and while another thread reads."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
        self._unblock()
        self._thread.join(5.0)
        self._release()

    def _run(self) -> None:
        try:
            while chunk := self._source():
                with self._changed:
                    self._chunks.append(chunk)
                    self._waiting += len(chunk)
                    self._changed.notify_all()
                    if self._holds:
                        self._changed.wait_for(lambda: self._waiting < MOST_HELD or self._closed)
                    while self._waiting > MOST_KEPT:
                        self._waiting -= len(self._chunks.popleft())
        except BaseException as error:  # noqa: BLE001 - raised again by read()
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()


def drained(connected: socket.socket, name: str) -> Pump:
    """Read a machine's console from now on, whoever else does, and close its socket with the stream.

    A machine writes its console byte by byte, and a socket takes some 300 such writes: a console that nobody
    reads would hold the machine up in the middle of its boot.
    """

    def source() -> bytes:
        try:
            return connected.recv(65536)
        except OSError:
            return b""

    def unblock() -> None:
        with suppress(OSError):
            connected.shutdown(socket.SHUT_RDWR)

    return Pump(source, unblock, connected.close, name=name)


def pipe(file: int, name: str) -> Pump:
    """Read a file descriptor, and close it with the stream."""
    wake = os.eventfd(0)
    poll = select.poll()
    poll.register(file, select.POLLIN)
    poll.register(wake, select.POLLIN)

    def source() -> bytes:
        return b"" if wake in dict(poll.poll()) else os.read(file, 65536)

    def release() -> None:
        os.close(file)
        os.close(wake)

    return Pump(source, lambda: os.eventfd_write(wake, 1), release, name=name)
