"""The kernel's log -> the lines that it wrote since a moment: how many, and the last that matter."""

from __future__ import annotations

import errno
import os
import re
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from vmvc.contract import Finding, Severity

DEVICE: Final = Path("/dev/kmsg")
GRAVE: Final = 4
"""Severity of a warning; smaller numbers are worse."""
KEPT: Final = 5
LONGEST: Final = 200
"""Characters of a line that are kept."""
MOST: Final = 10_000
"""Records that one look reads at most: a kernel that writes without end must not hold up the run."""
_VICTIM: Final = re.compile(r"out of memory: Killed process (\d+)", re.IGNORECASE)
"""Source: Linux mm/oom_kill.c, ``__oom_kill_process``."""
_RECORD: Final = 8192
"""Bytes that a read must take at least; a shorter one is refused (Linux kernel/printk, ``devkmsg_read``)."""


@dataclass(frozen=True, slots=True)
class Lines:
    """What the kernel wrote: warnings or worse by number, and the last few of the worst of them.

    ``killed``: processes that it ended because memory had run out.
    """

    grave: int
    last: tuple[str, ...]
    killed: tuple[int, ...] = ()

    def findings(self) -> tuple[Finding, ...]:
        """Return one finding with the text, none where the kernel was silent."""
        if not self.grave:
            return ()
        more = "among them " if self.grave > len(self.last) else ""
        return (
            Finding(
                "host.kernel-log",
                Severity.WARNING,
                f"the kernel warned {self.grave} time{'s' if self.grave > 1 else ''} during the trial: "
                f"{more}{'; '.join(self.last)}",
                "see dmesg; a host that warns may measure something else than the guest",
            ),
        )


class KernelLog:
    """A place in the kernel's log; reading never waits and takes nothing away from other readers."""

    def __init__(self, device: Path = DEVICE) -> None:
        """Begin after the last line; where this user may not read the log, every look shows ``None``."""
        self._file = -1
        try:
            self._file = os.open(device, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.lseek(self._file, 0, os.SEEK_END)
        except (OSError, AttributeError):
            self.close()

    def new(self) -> Lines | None:
        """Return what was written since the last look, ``None`` where the log cannot be read."""
        if self._file < 0:
            return None
        grave, killed = 0, list[int]()
        last = {bad: deque[str](maxlen=KEPT) for bad in (True, False)}
        for _ in range(MOST):
            try:
                record = os.read(self._file, _RECORD)
            except OSError as error:
                if error.errno == errno.EPIPE:
                    continue  # some lines were overwritten before they were read; the next read goes on
                break  # EAGAIN: that was all
            if not record:
                break
            severity, line = parse(record)
            if severity <= GRAVE:
                grave += 1
                last[severity < GRAVE].append(line)
            if victim := _VICTIM.search(line):
                killed.append(int(victim[1]))
        # A kernel that kills for memory first says so, and then warns in many lines of addresses.
        return Lines(grave, tuple(last[True] or last[False]), tuple(killed))

    def close(self) -> None:
        """Let go of the log; may be called twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def parse(record: bytes) -> tuple[int, str]:
    """Return severity and text of a record ``PRIORITY,SEQUENCE,MICROSECONDS,FLAGS;TEXT``.

    The lower three bits of the priority are the severity. Lines after the first are key and value pairs of
    devices; control characters, which the kernel writes as ``\\xNN``, are left out.

    Source: Linux Documentation/ABI/testing/dev-kmsg.
    """
    prefix, _, message = record.decode(errors="replace").partition(";")
    priority = prefix.partition(",")[0]
    line = re.sub(r"\\x[0-9a-f]{2}", "", message.partition("\n")[0])
    shown = "".join(character for character in line if character.isprintable()).strip()
    return (int(priority) & 7 if priority.isdecimal() else 7), shown[:LONGEST]
