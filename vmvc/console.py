"""What a guest prints, byte by byte -> the first byte's instant, both ends of the text, and lines that match.

A thread of its own reads, so that every chunk is stamped as it arrives, whatever else goes on.
"""

from __future__ import annotations

import codecs
import logging
import re
import threading
from collections import deque
from pathlib import Path
from typing import Final

from vmvc.contract import ByteStream, Clock, Event
from vmvc.errors import StepFailed, VmvcError

KEPT: Final = 65536
"""Bytes kept of each end of the output."""
MOST_LOGGED: Final = 2**20
LONGEST_LINE: Final = 4096
"""Characters; of a longer line only the end is searched."""
POLL: Final = 0.25

_log = logging.getLogger(__name__)
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[@-_]|[^\n\t -~\u00a0-\U0010ffff]")


class Search:
    """One pattern, searched line by line as the output arrives.

    An unfinished line counts (a prompt has no newline), unless what follows could still undo the match.
    ``match`` is the first; nothing is searched after it.
    """

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern = pattern
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._line = ""
        self._found: Event | None = None
        self.match: re.Match[str] | None = None
        self._done = threading.Event()

    @property
    def ended(self) -> bool:
        """True where the text was found or nothing more will come."""
        return self._done.is_set()

    def wait(self, seconds: float) -> Event | None:
        """Return when the matching text arrived; ``None`` after so many seconds or at the end of output."""
        self._done.wait(seconds)
        return self._found

    def feed(self, chunk: bytes, at: int) -> None:
        if self._done.is_set():
            return
        *lines, self._line = (self._line + self._decoder.decode(chunk)).split("\n")
        self._line = self._line[-LONGEST_LINE:]
        whole = (self._pattern.search(line.rstrip("\r")) for line in lines)
        if match := next(filter(None, whole), None) or self._match_in_open_line():
            self._end(match, at)

    def end(self, at: int) -> None:
        self._end(self._pattern.search(self._line), at)

    def _match_in_open_line(self) -> re.Match[str] | None:
        # "\0" stands for whatever may follow: `ready$` waits for the end of the line.
        match = self._pattern.search(self._line) if self._line else None
        return match if match and self._pattern.search(self._line + "\0") else None

    def _end(self, match: re.Match[str] | None, at: int) -> None:
        if not self._done.is_set():
            self.match = match
            self._found = Event(at) if match else None
            self._done.set()


class ConsoleTap:
    """A running reader of a console.

    ``first`` is the arrival of the first byte. ``dropped`` counts the bytes between ``head`` and ``tail``.
    ``sink`` takes the first MiB, as far as its disk does.
    """

    def __init__(self, stream: ByteStream, clock: Clock, sink: Path | None = None) -> None:
        self.first: Event | None = None
        self.dropped = 0
        self._stream = stream
        self._clock = clock
        self._sink = sink
        self._lock = threading.Lock()
        self._head: list[tuple[int, bytes]] = []
        self._head_size = 0
        self._tail: deque[tuple[int, bytes]] = deque()
        self._tail_size = 0
        self._searches: list[Search] = []
        self._error: BaseException | None = None
        self._closing = False
        self._begun = threading.Event()
        self._ended = threading.Event()
        self._ended_at = 0
        self._thread = threading.Thread(target=self._run, name="vmvc-console", daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        return self._ended.is_set()

    @property
    def head(self) -> bytes:
        with self._lock:
            return b"".join(chunk for _, chunk in self._head)

    @property
    def tail(self) -> bytes:
        """What came after ``head`` and was not dropped."""
        with self._lock:
            return b"".join(chunk for _, chunk in self._tail)

    def found(self, pattern: re.Pattern[str]) -> str:
        """Return the first group of the pattern's first match in what is kept, printable; "" for none."""
        match = pattern.search(_CONTROL.sub("", (self.head + self.tail).decode(errors="replace")))
        return match[1] if match else ""

    def last_lines(self, count: int) -> str:
        """Return the last non-empty lines, printable, each cut at 200 characters."""
        text = _CONTROL.sub("", (self.head + self.tail).decode(errors="replace"))
        lines = [line.rstrip()[:200] for line in text.split("\n") if line.strip()]
        return "\n".join(lines[-count:])

    def search(self, pattern: re.Pattern[str], *, past: bool = True) -> Search:
        """Search what will arrive and, of the ``past``, what has as far as it is kept; stamped on arrival."""
        search = Search(pattern)
        with self._lock:
            for at, chunk in (*self._head, *self._tail) if past else ():
                search.feed(chunk, at)
            if self.ended:
                search.end(self._ended_at)
            self._searches.append(search)
        return search

    def begun(self, seconds: float) -> bool:
        """Wait for the first byte; return whether it has come."""
        return self._begun.wait(seconds)

    def drain(self, seconds: float) -> bool:
        """Wait for the end of the output; return whether it has come."""
        return self._ended.wait(seconds)

    def raise_error(self) -> None:
        """Raise what broke the reader, if anything did.

        Raises: StepFailed, or the stream's own VmvcError.
        """
        error = self._error
        if isinstance(error, VmvcError):
            raise error
        if error is not None:
            raise StepFailed(
                f"the console cannot be read: {error or type(error).__name__}", hint="check the engine's log"
            ) from error

    def close(self) -> None:
        """Stop reading; may be called twice."""
        if self._closing:
            return
        self._closing = True
        self._stream.close()
        self._thread.join(4 * POLL)
        if self._thread.is_alive():
            _log.warning("the console's reader does not end: its stream ignores close()")

    def _run(self) -> None:
        try:
            self._read()
        except BaseException as error:  # noqa: BLE001 - carried to whoever waits: raise_error()
            if not self._closing:
                self._error = error
        finally:
            with self._lock:
                self._ended_at = self._clock.now()
                for search in self._searches:
                    search.end(self._ended_at)
                self._ended.set()

    def _read(self) -> None:
        log = _Log(self._sink) if self._sink else None
        try:
            while not self._closing:
                chunk = self._stream.read(POLL)
                at = self._clock.now()
                if chunk == b"":
                    return
                if chunk is not None:
                    self._take(chunk, at)
                    if log:
                        log.write(chunk)
        finally:
            if log:
                log.close()

    def _take(self, chunk: bytes, at: int) -> None:
        with self._lock:
            self.first = self.first or Event(at)
            self._begun.set()
            for search in self._searches:
                search.feed(chunk, at)
            if self._head_size < KEPT:
                start, chunk = chunk[: KEPT - self._head_size], chunk[KEPT - self._head_size :]
                self._head.append((at, start))
                self._head_size += len(start)
            if chunk:
                self._tail.append((at, chunk))
                self._tail_size += len(chunk)
            while self._tail_size > KEPT:
                at, oldest = self._tail.popleft()
                rest = oldest[self._tail_size - KEPT :]
                self.dropped += len(oldest) - len(rest)
                self._tail_size -= len(oldest) - len(rest)
                if rest:
                    self._tail.appendleft((at, rest))


class _Log:
    """A file that takes the first MiB; a disk that refuses costs the log, never the measurement."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self._room = MOST_LOGGED

    def write(self, chunk: bytes) -> None:
        if self._room <= 0:
            return
        try:
            self._file.write(chunk[: self._room])
            self._room -= len(chunk)
            if self._room <= 0:
                self._file.write(b"\n[vmvc: the rest is not kept]\n")
        except OSError as error:
            _log.warning("%s: %s; the rest of the console is not kept", self._file.name, error.strerror)
            self._room = 0

    def close(self) -> None:
        self._file.close()
