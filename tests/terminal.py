"""Runs a command on a real pseudo-terminal and keeps what a terminal of that size would show."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pyte

from tests.command import VMVC


class Terminal:
    """A terminal of so many columns and lines; ``raw`` is all that was written to it."""

    def __init__(self, columns: int, lines: int = 24) -> None:
        self.raw = b""
        self.screens: list[tuple[str, ...]] = []
        self._screen = pyte.HistoryScreen(columns, lines, history=5000, ratio=0.01)
        self._stream = pyte.ByteStream(self._screen)
        self._master, self.slave = pty.openpty()
        self._process: subprocess.Popen[bytes] | None = None
        self._set(columns, lines)

    def _set(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    @property
    def screen(self) -> tuple[str, ...]:
        """What it shows now, without the blanks at the ends of lines and the empty last lines."""
        lines = [line.rstrip() for line in self._screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return tuple(lines)

    @property
    def scrolled(self) -> tuple[str, ...]:
        """What it shows and showed before, the oldest first."""
        width = self._screen.columns
        above = ["".join(line[at].data for at in range(width)).rstrip() for line in self._screen.history.top]
        return (*above, *self.screen)

    def resize(self, columns: int, lines: int = 24) -> None:
        """Change its size as a window does; the rows that are too long are cut."""
        self._set(columns, lines)
        self._screen.resize(lines, columns)
        if self._process is not None:
            self._process.send_signal(signal.SIGWINCH)

    def run(
        self,
        arguments: Sequence[object],
        cwd: Path,
        *,
        look: Callable[[Terminal], None] = lambda terminal: None,
        timeout: float = 120.0,
        **env: str,
    ) -> int:
        """Run ``vmvc`` until it ends; ``look`` is called after everything that it has written."""
        given = {"TERM": "xterm-256color", "LANG": "C.UTF-8", **env}
        kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
        end = time.monotonic() + timeout
        with subprocess.Popen(
            [VMVC, *map(str, arguments)],
            cwd=cwd,
            env={**kept, **given},
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
        ) as self._process:
            while self._process.poll() is None or self._ready():
                if self._ready(0.05):
                    self._take(look)
                if time.monotonic() > end:
                    self._process.kill()
                    raise TimeoutError(f"no end after {timeout} s: {self.screen}")
        return self._process.returncode

    def close(self) -> None:
        os.close(self.slave)
        os.close(self._master)

    def _ready(self, seconds: float = 0.0) -> bool:
        return bool(select.select([self._master], [], [], seconds)[0])

    def _take(self, look: Callable[[Terminal], None]) -> None:
        written = os.read(self._master, 65536)
        self.raw += written
        self._stream.feed(written)
        if not self.screens or self.screens[-1] != self.screen:
            self.screens.append(self.screen)
        look(self)
