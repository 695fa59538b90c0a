"""A script -> a guest that is a thread: it really listens, really prints, and runs a table of commands.

Nothing is started outside this process.
"""

from __future__ import annotations

import contextlib
import math
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vmvc.backends.streams import Fed
from vmvc.contract import Completed
from vmvc.errors import DeadlineExceeded
from vmvc.spec import Ready, ReadyHttp, ReadyTcp

CRASH_STATUS: Final = 70
"""Exit status of a process that a script tells to crash."""
LOOK: Final = 0.05
"""Seconds between two looks at whether another process has ended this guest."""


@dataclass(frozen=True, slots=True)
class Script:
    """What a guest does: seconds count from its start; ``math.inf`` is never."""

    ready: Ready
    ports: tuple[int, ...] = ()
    lines: tuple[str, ...] = ()
    """Printed: all but the last at once, the last when the guest is ready."""
    ready_after: float = 0.0
    dies_after: float = math.inf
    refuses: bool = False
    """Answers every request with a failure."""
    crashes: bool = False
    """Takes the whole process with it at the moment of readiness."""


class RunningGuest:
    """A guest from its start to its end.

    It calls ``announce`` with guest port -> host port before it lives, ends itself when ``wanted`` turns
    false, and calls ``ended`` at its end.
    """

    def __init__(
        self,
        script: Script,
        *,
        announce: Callable[[Mapping[int, int]], object],
        wanted: Callable[[], bool],
        ended: Callable[[], object],
    ) -> None:
        self.console = Fed()
        self.ready = False
        self._script = script
        self._wanted = wanted
        self._ended = ended
        self._began = time.monotonic()
        self._selector = selectors.DefaultSelector()
        self._listeners: list[socket.socket] = []
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        for _ in script.ports:
            listener = socket.socket()
            self._listeners.append(listener)
            listener.bind(("127.0.0.1", 0))
            listener.setblocking(False)
        addresses = [listener.getsockname() for listener in self._listeners]
        announce({port: address[1] for port, address in zip(script.ports, addresses, strict=True)})
        self._print(script.lines[:-1])
        self._become_ready()
        self._thread = threading.Thread(target=self._live, name="vmvc-fake-guest", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """End the guest and return when it has ended; may be called twice."""
        with contextlib.suppress(OSError):  # It may have ended of itself.
            self._wake.send(b"!")
        self._thread.join()

    def _print(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.console.write(line.encode() + b"\r\n")

    def _become_ready(self) -> None:
        """Listen and print the last line, once, as soon as the time has come; until then ports are closed."""
        if self.ready or time.monotonic() < self._began + self._script.ready_after:
            return
        if self._script.crashes:
            os._exit(CRASH_STATUS)
        self.ready = True
        for listener in self._listeners:
            listener.listen(128)
            self._selector.register(listener, selectors.EVENT_READ, self._accept)
        if not self._script.refuses:
            self._print(self._script.lines[-1:])

    def _live(self) -> None:
        try:
            while self._wanted() and time.monotonic() < self._began + self._script.dies_after:
                self._become_ready()
                for key, _ in self._selector.select(self._pause()):
                    if key.data is None:
                        return
                    key.data(key.fileobj)
        finally:
            for key in tuple(self._selector.get_map().values()):
                if isinstance(key.fileobj, socket.socket):
                    key.fileobj.close()
            for listener in self._listeners:
                listener.close()
            self._selector.close()
            self._wake.close()
            self._ended()
            self.console.write(b"")

    def _pause(self) -> float:
        due = min(math.inf if self.ready else self._script.ready_after, self._script.dies_after)
        return max(0.0, min(LOOK, self._began + due - time.monotonic()))

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        connection.setblocking(False)
        received = bytearray()
        self._selector.register(connection, selectors.EVENT_READ, lambda peer: self._serve(peer, received))
        if isinstance(self._script.ready, ReadyTcp) and not self._script.ready.tcp.send:
            self._answer(connection)

    def _serve(self, connection: socket.socket, received: bytearray) -> None:
        try:
            data = connection.recv(65536)
        except OSError:
            data = b""
        received += data
        match self._script.ready:
            case ReadyTcp(tcp=probe):
                asked = probe.send.encode() in received
            case _:
                asked = b"\r\n\r\n" in received
        if asked:
            self._answer(connection)
        elif not data:
            self._hang_up(connection)

    def _answer(self, connection: socket.socket) -> None:
        match self._script.ready:
            case ReadyTcp(tcp=probe):
                answer = b"not yet\r\n" if self._script.refuses else probe.expect.encode()
            case ReadyHttp(http=probe):
                status = 503 if self._script.refuses else probe.status
                answer = (
                    f"HTTP/1.1 {status} Fake\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfake".encode()
                )
            case _:
                answer = b""
        with contextlib.suppress(OSError):  # The peer has gone: nobody is left to answer.
            connection.send(answer)
        self._hang_up(connection)

    def _hang_up(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        connection.close()


# --- commands inside --------------------------------------------------------------------------------------

_Command = Callable[[Sequence[str], Mapping[str, str], bytes], Completed]


def _printed(text: str, returncode: int = 0) -> Completed:
    return Completed(returncode, text.encode(), b"")


def _cat(arguments: Sequence[str], env: Mapping[str, str], stdin: bytes) -> Completed:
    """Print files of the host, on which this guest is a thread, or else what comes in."""
    try:
        return (
            Completed(0, b"".join(Path(name).read_bytes() for name in arguments), b"")
            if arguments
            else Completed(0, stdin, b"")
        )
    except OSError as error:
        return Completed(1, b"", f"cat: {error.filename}: {error.strerror}\n".encode())


def _printf(arguments: Sequence[str], env: Mapping[str, str], stdin: bytes) -> Completed:
    form = arguments[0].replace(r"\0", "\0").replace(r"\n", "\n")
    return _printed("".join(form.replace("%s", argument) for argument in arguments[1:]))


def _printenv(arguments: Sequence[str], env: Mapping[str, str], stdin: bytes) -> Completed:
    known = [env[name] for name in arguments if name in env]
    return _printed("".join(f"{value}\n" for value in known), int(len(known) < len(arguments)))


_COMMANDS: Final[Mapping[str, _Command]] = {
    "cat": _cat,
    "complain": lambda arguments, env, stdin: Completed(
        0, arguments[0].encode() + b"\n", arguments[1].encode() + b"\n"
    ),
    "echo": lambda arguments, env, stdin: _printed(" ".join(arguments) + "\n"),
    "exit": lambda arguments, env, stdin: _printed("", int(arguments[0])),
    "false": lambda arguments, env, stdin: _printed("", 1),
    "printenv": _printenv,
    "printf": _printf,
    "true": lambda arguments, env, stdin: _printed(""),
}


def execute(argv: Sequence[str], env: Mapping[str, str], stdin: bytes, timeout: float) -> Completed:
    """Run one of the built-in commands.

    Raises: DeadlineExceeded.
    """
    name, *arguments = argv
    if name == "sleep":
        seconds = float(arguments[0])
        time.sleep(min(seconds, timeout))
        if seconds >= timeout:
            raise DeadlineExceeded(f"'sleep {arguments[0]}' did not end within {timeout:g} s")
        return Completed(0, b"", b"")
    if name not in _COMMANDS:
        return Completed(127, b"", f"{name}: not found\n".encode())
    return _COMMANDS[name](arguments, env, stdin)
