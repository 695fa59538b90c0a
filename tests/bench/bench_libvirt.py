"""A machine's create -> ready through vmvc and libvirt, against QEMU by hand with the same arguments."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest

from tests.bench.pairs import Pairs, measure, show
from vmvc import probes
from vmvc.backends.libvirt import LibvirtBackend
from vmvc.contract import Guest, Instance, MonotonicClock, Tag
from vmvc.job import Job, Outcome
from vmvc.owner import current
from vmvc.spec import BUILT_IN_IMAGES, Http, ReadyHttp
from vmvc.worker import Worker

GUEST = Guest(image=BUILT_IN_IMAGES["tiny"], cpus=1, memory=256 * 2**20, ready=ReadyHttp(http=Http(port=80)))
CLOCK = MonotonicClock()


class Raw:
    """The floor: QEMU as a child of this process; has just what the probe asks of an instance."""

    def __init__(self, command_line: str, folder: Path) -> None:
        self._sockets = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port: int = free.getsockname()[1]
        text = command_line.replace("SOCKETS", str(folder))
        text = text.replace("UUID", "12345678-1234-1234-1234-123456789abc").replace(
            "MAC", "52:54:00:12:34:56"
        )
        forward = f'"hostfwd":[{{"str":"tcp:127.0.0.1:{self._port}-:80"}}]'
        text = re.sub(r'("type":"user","id":"hostnet0")', rf"\1,{forward}", text)
        self._argv = self._without_libvirts_own(shlex.split(text))
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def _without_libvirts_own(argv: list[str]) -> list[str]:
        """Leave out what only libvirt gives: its secret, its monitor, the pause before the start."""
        kept: list[str] = []
        rest = iter(argv)
        for word in rest:
            if word == "-S":
                continue
            if word in ("-object", "-chardev", "-mon"):
                value = next(rest)
                if "masterKey0" in value or "charmonitor" in value:
                    continue
                kept += [word, value]
                continue
            kept.append(word)
        return kept

    def seconds(self) -> float:
        with ExitStack() as stack:
            for name in ("console", "channel"):
                path = self._sockets / name
                path.unlink(missing_ok=True)
                server = stack.enter_context(socket.socket(socket.AF_UNIX))
                server.bind(str(path))
                server.listen()
            begun = CLOCK.now()
            self._process = subprocess.Popen(self._argv, stderr=subprocess.DEVNULL)
            try:
                ready = probes.wait(
                    GUEST.ready, cast("Instance", self), None, CLOCK, CLOCK.now() + 60 * 10**9
                )
            finally:
                self._process.kill()
                self._process.wait()
        return (ready.at - begun) / 1e9

    def endpoint(self, port: int) -> tuple[str, int]:
        return "127.0.0.1", self._port

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def epitaph(self) -> str:
        return ""


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    made = Worker(tmp_path / "worker.log")
    yield made
    made.close()


@pytest.mark.real("libvirt", "qemu")
def bench_create_to_ready(worker: Worker, tmp_path_factory: pytest.TempPathFactory) -> None:
    backend = LibvirtBackend("libvirt", LibvirtBackend.options_model())
    facts: Any = worker.call("prepare", backend, GUEST, timeout=600).facts
    raw = Raw(str(facts["command_line"]), tmp_path_factory.mktemp("q"))
    numbers = iter(range(1, 1000))
    started: list[float] = []

    def ours() -> float:
        tag = Tag("bench", next(numbers), current())
        outcome = worker.call("trial", Job(tag, backend, GUEST, (), 60.0, 10.0), timeout=60)
        assert isinstance(outcome, Outcome)
        assert outcome.failure is None, outcome.failure
        events = outcome.events
        started.append((events["ready"].at - events["started"].at) / 1e9)
        return (events["ready"].at - events["requested"].at) / 1e9

    pairs = measure(ours, raw.seconds, 30)
    show("machine create -> ready / QEMU by hand", pairs, "within 1%")
    rest = Pairs(started[1:], pairs.floor)
    show("the same without libvirt's own start: started -> ready", rest, "what vmvc adds")
