"""What a guest prints: stamped on arrival, searched over chunk boundaries, kept within bounds."""

from __future__ import annotations

import logging
import queue
import re
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from vmvc import console
from vmvc.console import ConsoleTap, Search
from vmvc.contract import Clock, Event, MonotonicClock
from vmvc.errors import StepFailed, Unavailable


class Typed:
    """A stream into which a test types; an exception is raised by the reader."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()

    def type(self, *chunks: bytes | Exception) -> None:
        for chunk in chunks:
            self._queue.put(chunk)

    def read(self, timeout: float) -> bytes | None:
        try:
            chunk = self._queue.get(timeout=timeout)
        except queue.Empty:
            return None
        if isinstance(chunk, Exception):
            raise chunk
        return chunk

    def close(self) -> None:
        self._queue.put(b"")


class CountingClock(Clock):
    """A clock that is one further at every look."""

    def __init__(self) -> None:
        self._at = 0

    def now(self) -> int:
        self._at += 1
        return self._at

    def sleep(self, seconds: float) -> None:
        raise NotImplementedError


@pytest.fixture
def stream() -> Iterator[Typed]:
    stream = Typed()
    yield stream
    stream.close()


def read_all(*chunks: bytes, sink: Path | None = None) -> ConsoleTap:
    stream = Typed()
    stream.type(*chunks, b"")
    tap = ConsoleTap(stream, CountingClock(), sink=sink)
    assert tap.drain(5)
    tap.close()
    return tap


# --- instants ---------------------------------------------------------------------------------------------


def test_the_first_byte_is_stamped_and_stays() -> None:
    assert read_all(b"a", b"b").first == Event(1, 0.0)
    assert read_all().first is None


def test_a_line_is_stamped_with_the_chunk_that_completes_the_match(stream: Typed) -> None:
    tap = ConsoleTap(stream, CountingClock())
    search = tap.search(re.compile("ready"))
    stream.type(b"not yet\n", b"re", b"ady\n", b"ready\n")
    assert search.wait(5) == Event(3, 0.0)
    tap.close()


def test_what_came_before_the_search_keeps_its_stamp() -> None:
    tap = read_all(b"boot\n", b"ready\n", b"more\n")
    assert tap.search(re.compile("ready")).wait(0) == Event(2, 0.0)
    assert tap.search(re.compile("absent")).wait(0) is None
    assert read_all(b"ready").search(re.compile("^ready$")).wait(0) == Event(3, 0.0)


# --- matching ---------------------------------------------------------------------------------------------


def found(pattern: str, chunks: Sequence[bytes], ends: bool = False) -> int | None:
    """Return the number of the chunk (from 1) at which the pattern is found, 0 at the end."""
    search = Search(re.compile(pattern))
    for number, chunk in enumerate(chunks, 1):
        search.feed(chunk, number)
    if ends:
        search.end(0)
    event = search.wait(0)
    return None if event is None else event.at


@pytest.mark.parametrize(
    ("pattern", "chunks", "at"),
    [
        ("ready", [b"ready"], 1),
        ("ready", [b"r", b"e", b"a", b"d", b"y"], 5),
        ("login: ", [b"host login:", b" "], 2),
        ("^ready$", [b"already\n", b"ready\n"], 2),
        ("^ready$", [b"ready", b"ing\n", b"ready", b"\r\n"], 4),
        ("^ready$", [b"x\nready\r\n"], 1),
        ("ready.$", [b"ready", b"\n", b"ready!\n"], 3),
        ("ready.", [b"ready"], None),
        ("a.b", [b"a\nb"], None),
        ("grün", ["grün".encode()[:3], "grün".encode()[3:]], 2),
        ("x", [b"\xff\xfe x\n"], 1),
    ],
)
def test_lines_are_searched_over_chunk_boundaries(
    pattern: str, chunks: Sequence[bytes], at: int | None
) -> None:
    assert found(pattern, chunks) == at


def test_the_last_line_needs_no_newline_at_the_end() -> None:
    assert found("^ready$", [b"ready"], ends=True) == 0
    assert found("^ready$", [b"already"], ends=True) is None


def test_an_endless_line_stays_bounded() -> None:
    search = Search(re.compile("needle$"))
    for number in range(100):
        search.feed(b"x" * 1000, number)
    assert len(search._line) == console.LONGEST_LINE
    search.feed(b"needle\n", 100)
    assert search.wait(0) == Event(100)


def test_byte_by_byte_is_searched_in_linear_time() -> None:
    search = Search(re.compile("needle"))
    started = time.process_time()
    for number, byte in enumerate(b"some console line of usual length, as kernels print them\n" * 500):
        search.feed(bytes([byte]), number)
    assert time.process_time() - started < 2


# --- bounds -----------------------------------------------------------------------------------------------


def test_both_ends_are_kept_and_the_middle_is_counted() -> None:
    data = b"".join(b"%07d\n" % number for number in range(100_000))
    tap = read_all(*(data[start : start + 1000] for start in range(0, len(data), 1000)))
    assert tap.head == data[: console.KEPT]
    assert tap.tail == data[-console.KEPT :]
    assert tap.dropped == len(data) - 2 * console.KEPT


def test_one_huge_chunk_is_cut_too() -> None:
    data = bytes(range(256)) * 4096
    tap = read_all(data)
    assert (tap.head, tap.tail) == (data[: console.KEPT], data[-console.KEPT :])
    assert tap.dropped == len(data) - 2 * console.KEPT


def test_little_is_kept_whole() -> None:
    tap = read_all(b"one\n", b"two\n")
    assert (tap.head, tap.tail, tap.dropped) == (b"one\ntwo\n", b"", 0)


def test_the_log_takes_the_bytes_up_to_its_bound(tmp_path: Path) -> None:
    read_all(b"\x00one", b"two", sink=tmp_path / "small")
    assert (tmp_path / "small").read_bytes() == b"\x00onetwo"
    read_all(*[b"x" * 100_000] * 20, sink=tmp_path / "large")
    text = (tmp_path / "large").read_bytes()
    assert text.count(b"x") == console.MOST_LOGGED
    assert text.endswith(b"\n[vmvc: the rest is not kept]\n")


def test_the_last_lines_are_printable() -> None:
    tap = read_all(b"a\r\n\r\n\x1b[0;32m  OK  \x1b[0m b\x07\r\n", "ü\n".encode(), b"c" * 300)
    assert tap.last_lines(3).split("\n") == ["  OK   b", "ü", "c" * 200]
    assert read_all().last_lines(3) == ""


# --- errors and the end -----------------------------------------------------------------------------------


def test_an_error_of_the_stream_is_kept_for_who_waits(stream: Typed) -> None:
    tap = ConsoleTap(stream, MonotonicClock())
    tap.raise_error()
    stream.type(b"x", OSError("pipe burst"))
    assert tap.drain(5)
    with pytest.raises(StepFailed, match="cannot be read: pipe burst") as caught:
        tap.raise_error()
    assert isinstance(caught.value.__cause__, OSError)
    assert tap.head == b"x"
    tap.close()


def test_an_explained_error_stays_itself(stream: Typed) -> None:
    tap = ConsoleTap(stream, MonotonicClock())
    stream.type(Unavailable("no stream"))
    assert tap.drain(5)
    with pytest.raises(Unavailable):
        tap.raise_error()
    tap.close()


def test_a_log_that_cannot_be_written_is_an_error(stream: Typed, tmp_path: Path) -> None:
    tap = ConsoleTap(stream, MonotonicClock(), sink=tmp_path / "missing" / "log")
    assert tap.drain(5)
    with pytest.raises(StepFailed, match="No such file"):
        tap.raise_error()
    tap.close()


def test_close_ends_the_thread_at_once_and_twice(stream: Typed) -> None:
    threads = threading.active_count()
    tap = ConsoleTap(stream, MonotonicClock())
    started = time.monotonic()
    tap.close()
    tap.close()
    assert time.monotonic() - started < 0.2
    assert threading.active_count() == threads
    tap.raise_error()


def test_a_stream_that_breaks_when_closed_is_no_error() -> None:
    class Breaking(Typed):
        def close(self) -> None:
            self.type(OSError("bad file descriptor"))

    tap = ConsoleTap(Breaking(), MonotonicClock())
    tap.close()
    tap.raise_error()


def test_a_stream_that_ignores_close_is_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "POLL", 0.01)
    goes_on = threading.Event()

    class Deaf(Typed):
        def read(self, timeout: float) -> bytes | None:
            goes_on.wait(10)
            return b""

        def close(self) -> None: ...

    tap = ConsoleTap(Deaf(), MonotonicClock())
    with caplog.at_level(logging.WARNING):
        tap.close()
    goes_on.set()
    assert "ignores close()" in caplog.text
