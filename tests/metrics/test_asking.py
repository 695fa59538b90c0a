"""A page that is asked again and again, from servers that answer well, slowly, wrongly and not at all."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from vmvc.backends.fake_instance import FakeInstance
from vmvc.contract import MonotonicClock
from vmvc.metrics.asking import Answers, ask
from vmvc.spec import Http

PAGE = Http(port=80)
GOOD = b"HTTP/1.0 200 OK\r\n\r\npage"


class At(FakeInstance):
    """An instance whose page is served on a port of this host."""

    def __init__(self, port: int) -> None:
        self._port = port

    def endpoint(self, port: int) -> tuple[str, int]:
        return "127.0.0.1", self._port


@contextmanager
def serving(answer: Callable[[int, socket.socket], None]) -> Iterator[At]:
    """Serve connections one after the other: ``answer`` gets their number and the connection."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        number = 0
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(4096)
                answer(number, connection)
            number += 1

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield At(listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def asked(instance: At, seconds: float = 0.3, patience: float = 0.2) -> Answers:
    return ask(instance, PAGE, seconds, patience, MonotonicClock())


def test_each_answer_is_timed_to_its_end() -> None:
    def slowly(number: int, connection: socket.socket) -> None:
        connection.sendall(GOOD)
        time.sleep(0.05 if number == 1 else 0.01)

    with serving(slowly) as instance:
        answers = asked(instance)
    assert answers.failed == ""
    assert 3 <= len(answers.took) < 31
    assert answers.took[1] >= 0.05
    assert answers.seconds >= 0.3
    assert answers.rate == pytest.approx(len(answers.took) / answers.seconds)


def test_an_answer_that_does_not_come_is_waited_for_no_longer_than_patience() -> None:
    began = time.monotonic()
    with serving(lambda number, one: one.sendall(GOOD) if number < 2 else time.sleep(0.5)) as instance:
        answers = asked(instance)
    assert (len(answers.took), answers.failed) == (2, "no answer within 0.2 s")
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("answer", "failed"),
    [
        (b"HTTP/1.0 503 Busy\r\n\r\n", "it answered with HTTP 503"),
        (b"hello", "it answered with an answer that is not HTTP: b'hello'"),
        (b"", "it answered with an unfinished answer"),
    ],
)
def test_a_wrong_answer_ends_it(answer: bytes, failed: str) -> None:
    with serving(lambda number, one: one.sendall(answer)) as instance:
        assert asked(instance).failed == failed


def test_a_page_that_is_gone_ends_it() -> None:
    with serving(lambda number, one: None) as instance:
        pass
    answers = asked(instance)
    assert (len(answers.took), answers.failed) == (0, "connection refused")
