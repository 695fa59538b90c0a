"""Docker's multiplexed streams -> a console and the output of commands, on any transport of the client."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import requests
from docker.errors import DockerException
from docker.types import CancellableStream

from vmvc.backends.streams import Pump
from vmvc.errors import DeadlineExceeded, StepFailed

STDOUT: Final = 1
STDERR: Final = 2
_HEADER: Final = struct.Struct(">BxxxL")


class Frames:
    """Takes a stream apart: each frame is a byte for the channel, three unused, four for the length."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield channel and payload of every frame that is complete."""
        self._rest += data
        while len(self._rest) >= _HEADER.size:
            channel, length = _HEADER.unpack_from(self._rest)
            end = _HEADER.size + length
            if len(self._rest) < end:
                return
            payload, self._rest = self._rest[_HEADER.size : end], self._rest[end:]
            yield channel, payload


def pump(
    response: requests.Response,
    name: str,
    heard: Callable[[bytes], None] = lambda data: None,
    *,
    holds: bool = False,
) -> Pump:
    """Read a streamed answer in a thread of its own, in which ``heard`` is called with what arrives.

    With ``holds`` nothing is lost: the sender is held up instead.
    """

    def source() -> bytes:
        data = _read(response, name)
        heard(data)
        return data

    return Pump(source, lambda: _cancel(response), name=name, holds=holds)


HEADERS_WITHIN: Final = 1.0
"""Seconds after which an engine that has not answered a request for a log is asked again."""


def pump_log(ask: Callable[[float], requests.Response], name: str) -> Pump:
    """Ask for a log and read it, in a thread of its own; ``ask`` takes the seconds that an answer may take,
    and raises DeadlineExceeded beyond.

    Podman answers only when the guest has printed something, so that whoever asks waits for it.
    """
    answers: list[requests.Response] = []
    closed = threading.Event()

    def source() -> bytes:
        while not answers and not closed.is_set():
            with contextlib.suppress(DeadlineExceeded):
                answer = ask(HEADERS_WITHIN)
                _wire(answer).settimeout(None)
                answers.append(answer)
        return _read(answers[0], name) if answers else b""

    def unblock() -> None:
        closed.set()
        for answer in answers:
            _cancel(answer)

    return Pump(source, unblock, name=name)


def _read(response: requests.Response, name: str) -> bytes:
    try:
        return bytes(response.raw.read1(65536))
    except Exception as error:
        raise StepFailed(
            f"Docker broke off the {name}: {error}", hint="see the log of the Docker Engine"
        ) from error


def _cancel(response: requests.Response) -> None:
    # The connection may have ended by itself; the response is released in any case.
    with contextlib.suppress(OSError, AttributeError, ValueError):
        CancellableStream(iter(()), response).close()


def _wire(response: requests.Response) -> socket.socket:
    """Return the client's socket: there is no public way, this is the one that it takes itself."""
    connection: Any = response.raw._fp
    wire: socket.socket = connection.fp.raw._sock
    return wire


def feed(response: requests.Response, data: bytes) -> None:
    """Write to the other end of a hijacked connection, then close that direction, in a thread of its own."""
    wire = _wire(response)

    def write() -> None:
        # A command that ends without reading all of its input is no fault.
        with contextlib.suppress(OSError):
            wire.sendall(data)
            wire.shutdown(socket.SHUT_WR)

    threading.Thread(target=write, name="standard input", daemon=True).start()


class Console:
    """What a container prints, both channels as they arrive. A ``vmvc.contract.ByteStream``.

    ``everything`` returns the whole log again: at the end of the guest the engine drops a last line without a
    newline from a stream that follows.
    """

    def __init__(
        self, ask: Callable[[float], requests.Response], everything: Callable[[], bytes], name: str
    ) -> None:
        self._everything = everything
        self._frames = Frames()
        self._pump = pump_log(ask, name)
        self._seen = 0
        self._over = False

    def read(self, timeout: float) -> bytes | None:
        """Return what arrived; the engine hands on whole lines, or what there is when the guest ends.

        Raises: StepFailed where the engine broke the stream off.
        """
        data = self._pump.read(timeout)
        if data is None:
            return None
        if data == b"":
            return self._rest()
        text = _text(self._frames, data)
        self._seen += len(text)
        return text or None

    def close(self) -> None:
        self._over = True
        self._pump.close()

    def _rest(self) -> bytes:
        if self._over:
            return b""
        self._over = True
        # A container that is removed has no rest.
        with contextlib.suppress(DockerException, requests.RequestException):
            return _text(Frames(), self._everything())[self._seen :]
        return b""


def _text(frames: Frames, data: bytes) -> bytes:
    return b"".join(payload for _, payload in frames.feed(data))
