"""A third party's backend in one file: a guest is Python's own web server on a port of the host."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import psutil
from pydantic import Field

from vmvc.contract import (
    Backend,
    ByteStream,
    Completed,
    DiskUsage,
    Finding,
    Guest,
    Instance,
    Isolation,
    Options,
    Preparation,
    Processes,
    Scalar,
    Tag,
)
from vmvc.errors import DeadlineExceeded, Unavailable
from vmvc.units import Duration


class PyserveOptions(Options):
    """Options of the backend."""

    delay: Duration = Field(default=0.0, description="How long the server waits before it listens.")


SERVER = (
    "import http.server, sys, time; time.sleep(float(sys.argv[2]));"
    "H = type('H', (http.server.BaseHTTPRequestHandler,),"
    " {'do_GET': lambda s: (s.send_response(200), s.end_headers()), 'log_message': lambda *a: None});"
    "http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), H).serve_forever()"
)


class PyserveInstance(Instance):
    def __init__(self, tag: Tag, guest: Guest, delay: float) -> None:
        super().__init__(tag, guest)
        self._delay = delay
        self._port = 0
        self._server: subprocess.Popen[bytes] | None = None

    def create(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]

    def start(self) -> None:
        argv = [sys.executable, "-c", SERVER, str(self._port), str(self._delay)]
        self._server = subprocess.Popen(argv, env={**os.environ, **self.tag.labels()})

    def endpoint(self, port: int) -> tuple[str, int]:
        return "127.0.0.1", self._port

    def console(self) -> ByteStream:
        raise Unavailable("this server has no console")

    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
        raise Unavailable("nothing can be run in this server")

    def alive(self) -> bool:
        return self._server is not None and self._server.poll() is None

    def processes(self) -> Processes:
        assert self._server is not None
        return Processes(own=(self._server.pid,))

    def cgroup(self) -> Path | None:
        return None

    def disk(self) -> DiskUsage:
        reason = "a server has no disk"
        return DiskUsage(absent=dict.fromkeys(("virtual", "allocated", "shared", "unique"), reason))

    def stop(self, *, timeout: float) -> None:
        assert self._server is not None
        self._server.terminate()
        try:
            self._server.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise DeadlineExceeded("the server did not end") from error

    def destroy(self) -> None:
        if self._server is not None:
            self._server.kill()
            self._server.wait()
        else:
            for process in _labelled(self.tag):
                process.send_signal(signal.SIGKILL)
                process.wait(10)


def _labelled(wanted: Tag | None) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            tag = Tag.from_labels(process.environ())
        except psutil.Error:
            continue
        if tag is not None and wanted in (None, tag) and "http.server" in " ".join(process.cmdline()):
            found.append(process)
    return found


class Pyserve(Backend):
    kind: ClassVar[str] = "pyserve"
    isolation: ClassVar[Isolation] = Isolation.NONE
    options_model: ClassVar[type[Options]] = PyserveOptions
    says: ClassVar[str] = "Python's own web server"
    options: PyserveOptions

    def check(self) -> Sequence[Finding]:
        return ()

    def describe(self) -> Mapping[str, Scalar]:
        return {"python": sys.version.split()[0]}

    def prepare(self, guest: Guest) -> Preparation:
        return Preparation()

    def instance(self, tag: Tag, guest: Guest) -> Instance:
        return PyserveInstance(tag, guest, self.options.delay)

    def leftovers(self) -> Sequence[Instance]:
        return ()
