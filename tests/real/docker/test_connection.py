"""The way to the engine: contexts, requests in the timed part, engines that go away or are elsewhere."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.real.docker.guests import SERVES, WAITS, Make, cli
from vmvc.backends.docker import DockerBackend
from vmvc.backends.docker_client import DockerOptions
from vmvc.backends.docker_host import HostSide
from vmvc.errors import CleanupError, EngineError, StepFailed, Unavailable

pytestmark = pytest.mark.real("docker")


class Wire:
    """Stands between a client and the engine's socket: counts requests, and can be cut."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "docker.sock"
        self.requests: list[str] = []
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(self.path))
        self._server.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._server.close()
        self.path.unlink(missing_ok=True)
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in self._open:
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                engine = socket.socket(socket.AF_UNIX)
                engine.connect("/var/run/docker.sock")
                self._open += [client, engine]
                for source, target in ((client, engine), (engine, client)):
                    copying = threading.Thread(target=self._copy, args=(source, target), daemon=True)
                    copying.start()
                    self._threads.append(copying)

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                line = data.split(b"\r\n", 1)[0].decode("latin-1")
                if line.endswith("HTTP/1.1"):
                    method, path, _ = line.split(" ")
                    self.requests.append(f"{method} {path.partition('?')[0]}")
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    wire = Wire(tmp_path)
    yield wire
    wire.cut()


@contextmanager
def through(wire: Wire) -> Iterator[DockerBackend]:
    backend = DockerBackend("docker", DockerOptions(host=f"unix://{wire.path}"))
    yield backend
    backend.close()


def test_a_timed_start_is_two_requests_and_an_endpoint_one(wire: Wire, make: Make) -> None:
    with through(wire) as backend:
        backend.prepare(SERVES)
        wire.requests.clear()
        instance = make(SERVES, on=backend, start=False)
        wire.requests.clear()
        instance.destroy()
        wire.requests.clear()
        again = backend.instance(instance.tag, SERVES)
        again.create()
        again.start()
        assert [request.split("/")[-1] for request in wire.requests] == ["create", "start"]
        for _ in range(3):
            again.endpoint(80)
            again.alive()
        assert [request.split("/")[-1] for request in wire.requests] == ["create", "start", "json"]
        instance.destroy()


# docker-py leaves the socket of a refused connection to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_engine_that_goes_away(wire: Wire, make: Make) -> None:
    with through(wire) as backend:
        instance = make(WAITS, on=backend)
        console = instance.console()
        assert instance.alive()
        wire.cut()
        for step in (
            lambda: instance.run(["true"], timeout=5.0),
            lambda: instance.stop(timeout=5.0),
            lambda: instance.disk(),
        ):
            with pytest.raises(EngineError, match="went away"):
                step()
        with pytest.raises(CleanupError, match="not known"):
            instance.destroy()
        with pytest.raises(StepFailed, match="broke off the console"):
            console.read(5.0)
        console.close()
        direct = DockerBackend("docker", DockerOptions())
        direct.instance(instance.tag, WAITS).destroy()
        direct.close()


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the docker command, and vmvc, an empty configuration of their own."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def address(options: DockerOptions | None = None) -> object:
    backend = DockerBackend("docker", options or DockerOptions())
    found = backend.describe().get("address") or backend.check()[0].what
    backend.close()
    return found


def test_contexts_are_found_as_the_docker_command_finds_them(
    config: Path, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = "unix:///var/run/docker.sock"
    there = f"unix://{wire.path}"
    assert address() == here
    cli("context", "create", "lab", "--docker", f"host={there}")
    assert not (config / "config.json").exists(), "the docker command writes it only later"
    assert address() == here
    assert address(DockerOptions(context="lab")) == there
    assert address(DockerOptions(context="default")) == here
    monkeypatch.setenv("DOCKER_CONTEXT", "lab")
    assert address() == there
    monkeypatch.delenv("DOCKER_CONTEXT")
    cli("context", "use", "lab")
    assert address() == there
    assert address(DockerOptions(host=here)) == here
    monkeypatch.setenv("DOCKER_HOST", here)
    assert address() == here
    assert address(DockerOptions(context="lab")) == there


def test_a_context_that_is_not_there(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no usable Docker context 'lab'" in str(address(DockerOptions(context="lab")))
    monkeypatch.setenv("DOCKER_CONTEXT", "other")
    assert "no usable Docker context 'other'" in str(address())


def test_a_namesake_is_not_taken_for_the_containers_process() -> None:
    with pytest.raises(Unavailable):
        HostSide("0" * 64, os.getpid())


@pytest.mark.real("root")
def test_an_engine_whose_processes_cannot_be_seen() -> None:
    """In another process namespace the engine's process numbers mean nothing, as on another host."""
    code = """
import sys
from tests.real.docker.guests import says, until
from vmvc import owner
from vmvc.backends.docker import DockerBackend
from vmvc.backends.docker_client import DockerOptions
from vmvc.contract import Tag
from vmvc.errors import Unavailable
backend = DockerBackend("docker", DockerOptions())
backend.prepare(says("sleep 1"))
instance = backend.instance(Tag(sys.argv[1], 1, owner.current()), says("sleep 1"))
try:
    instance.create()
    instance.start()
    print(instance.alive())
    for what in (instance.processes, instance.cgroup):
        try:
            print(what())
        except Unavailable as error:
            print("Unavailable", error.what)
    until(lambda: not instance.alive())
    print(instance.alive())
finally:
    instance.destroy()
"""
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed")
    run = f"test-{secrets.token_hex(4)}"
    alone = ["unshare", "--pid", "--fork", "--mount-proc"]
    done = subprocess.run(
        [*alone, sys.executable, "-c", code, run],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
        timeout=60,
    )
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["True", "Unavailable", "Unavailable", "False"], done.stderr
