"""A pump hands on everything in order, bounded, and can be left at any time."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from vmvc.backends import streams
from vmvc.backends.streams import Pump, drained, pipe


def test_a_pipe_hands_on_what_is_written_and_then_its_end() -> None:
    ours, theirs = os.pipe()
    stream = pipe(ours, "test")
    assert stream.read(0.0) is None
    os.write(theirs, b"words")
    assert stream.read(5.0) == b"words"
    os.close(theirs)
    assert stream.read(5.0) == b""
    assert stream.read(0.0) == b""
    stream.close()
    stream.close()


def test_closing_ends_a_reader_and_frees_the_descriptors() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    ours, theirs = os.pipe()
    stream = pipe(ours, "test")
    got: list[bytes | None] = []
    reader = threading.Thread(target=lambda: got.append(stream.read(30.0)))
    reader.start()
    stream.close()
    reader.join(5.0)
    assert got == [b""]
    os.close(theirs)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_the_oldest_goes_when_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MOST_KEPT", 10)
    chunks = iter([b"aaaa", b"bbbb", b"cccc", b"dd", b""])
    done = threading.Event()

    def source() -> bytes:
        chunk = next(chunks)
        if not chunk:
            done.set()
        return chunk

    stream = Pump(source, lambda: None, name="test")
    assert done.wait(5.0)
    assert stream.read(5.0) == b"bbbbccccdd"
    assert stream.read(5.0) == b""
    stream.close()


def test_what_breaks_the_source_reaches_the_reader_after_what_came_before() -> None:
    chunks = iter([b"words"])

    def source() -> bytes:
        try:
            return next(chunks)
        except StopIteration:
            raise OSError("broken") from None

    stream = Pump(source, lambda: None, name="test")
    assert stream.read(5.0) == b"words"
    with pytest.raises(OSError, match="broken"):
        stream.read(5.0)
    stream.close()
    assert stream.read(5.0) == b"", "a stream that was left tells nothing"


@pytest.mark.parametrize("holds", [True, False])
def test_a_slow_reader_loses_nothing_where_the_source_is_held_up(holds: bool) -> None:
    chunk, count = b"x" * 2**20, 40
    left = iter([chunk] * count)
    pump = Pump(lambda: next(left, b""), lambda: None, name="test", holds=holds)
    assert pump.read(5.0)
    pump._thread.join(0.3)
    arrived = 0
    while data := pump.read(5.0):
        arrived += len(data)
    pump.close()
    assert (arrived >= (count - 2) * 2**20) is holds


def test_closing_frees_a_source_that_is_held_up() -> None:
    pump = Pump(lambda: b"x" * 2**20, lambda: None, name="test", holds=True)
    assert pump.read(5.0)
    pump._source = lambda: b""
    pump.close()
    assert not pump._thread.is_alive()


def test_a_console_that_nobody_reads_holds_nobody_up() -> None:
    """A machine writes byte by byte; an ordinary socket that nobody reads takes a few hundred of these."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(5.0)
    stream = drained(ours, "test")
    for _ in range(5000):
        theirs.sendall(b"x")
    theirs.close()
    said = b""
    while chunk := stream.read(5.0):
        said += chunk
    assert said == b"x" * 5000
    stream.close()
    assert ours.fileno() == -1


def test_closing_a_console_hangs_up_on_the_machine() -> None:
    ours, theirs = socket.socketpair()
    stream = drained(ours, "test")
    stream.close()
    assert theirs.recv(1) == b""
    theirs.close()
