"""What answers on the engine's socket is no engine, or a mad one: words and no traceback, in bounded time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.command import vmvc

EXPERIMENT = """\
name: garbage
backends: {{docker: {{options: {{host: "unix://{socket}"}}}}}}
metrics: [startup]
trials: {{count: 1, warmup: 0, timeout: 5s}}
"""
Answer = Callable[[socket.socket], None]


def http(body: bytes, kind: str = "application/json", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n\r\n".encode() + body


def says(answer: bytes) -> Answer:
    return lambda client: client.sendall(answer)


def endless(begin: bytes, piece: bytes, pause: float = 0.0) -> Answer:
    def answer(client: socket.socket) -> None:
        client.sendall(begin)
        while True:
            client.sendall(piece)
            time.sleep(pause)

    return answer


ANSWERS = {
    "nothing": says(b""),
    "bytes": says(bytes(range(256)) * 8),
    "a page": says(http(b"<html>router login</html>", "text/html")),
    "a list": says(http(b"[]")),
    "null": says(http(b"null")),
    "other keys": says(http(b'{"ApiVersion": {"a": 1}, "Version": 7}')),
    "torn": says(http(b'{"ApiVersion": ', length=1000)),
    "endless headers": endless(b"HTTP/1.1 200 OK\r\n", b"X-A: " + b"a" * 65000 + b"\r\n"),
    "slow": endless(http(b"", length=10**6), b" ", 0.5),
}


@contextmanager
def served(path: Path, answer: Answer) -> Iterator[None]:
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def talk(client: socket.socket) -> None:
        with client, suppress(OSError):
            client.recv(65536)
            answer(client)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=talk, args=server.accept()[:1], daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_garbage_on_the_engines_socket_ends_in_words(tmp_path: Path, answer: Answer) -> None:
    path = tmp_path / "docker.sock"
    (tmp_path / "e.yaml").write_text(EXPERIMENT.format(socket=path))
    began = time.monotonic()
    with served(path, answer):
        said = vmvc("run", "e.yaml", cwd=tmp_path)
    assert said.code == 3, said.err
    assert "Traceback" not in said.err, said.err
    assert str(path) in said.err or "check did not return in time" in said.err, said.err
    assert time.monotonic() - began < 90
