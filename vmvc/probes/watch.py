"""A guest, its console and a deadline -> the error that ends a wait which can no longer succeed."""

from __future__ import annotations

import re
from typing import Final, NoReturn

from vmvc.console import ConsoleTap
from vmvc.contract import Clock, Instance
from vmvc.errors import DeadlineExceeded, GuestDied
from vmvc.units import show_seconds

SECOND: Final = 10**9
SHORTEST_INTERVAL: Final = 0.001
"""Seconds; a shorter interval would be a busy loop that steals CPU from the guest."""
ALIVE_EVERY: Final = SECOND // 4
_PANIC: Final = re.compile(r"Kernel panic - not syncing: ([^\n]{1,200})")
"""Source: panic() in Linux, kernel/panic.c; a register dump follows and hides it from the last lines."""


def nanoseconds(interval: float) -> int:
    """Return a probe's interval on the clock."""
    return round(max(interval, SHORTEST_INTERVAL) * SECOND)


class Watch:
    """Ends a wait that can no longer succeed."""

    def __init__(self, instance: Instance, console: ConsoleTap | None, clock: Clock, deadline: int) -> None:
        self.clock = clock
        self.called = clock.now()
        self.deadline = deadline
        self.seen = "nothing"
        self._instance = instance
        self._console = console
        self._next = self.called
        self._told = False

    def check(self) -> int:
        """Return now.

        Raises: GuestDied, DeadlineExceeded, StepFailed.
        """
        now = self.clock.now()
        ended = False
        if self._console is not None:
            self._console.raise_error()
            ended = self._console.ended and not self._told
        if ended or now >= self._next:
            self._told = self._told or ended
            self._next = now + ALIVE_EVERY
            if not self._instance.alive():
                self._died()
        if now >= self.deadline:
            self._too_late(now)
        return now

    def pause(self, until: int) -> float:
        """Return the seconds until the next thing to do: ``until``, a look at the guest or the deadline."""
        return max(0, min(until, self._next, self.deadline) - self.clock.now()) / SECOND

    def _died(self) -> NoReturn:
        if self._console is not None:
            self._console.drain(0.2)
        how = self._why()
        raise GuestDied(
            f"the guest ended before it was ready{f' ({how})' if how else ''}; {self._last_seen(10)}",
            hint="run the guest's command by hand in the same image and read its error",
        )

    def _too_late(self, now: int) -> NoReturn:
        waited = show_seconds((now - self.called) / SECOND)
        why = self._why()
        raise DeadlineExceeded(
            f"the guest was not ready after {waited}{f' ({why})' if why else ''}; {self._last_seen(5)}",
            hint="give it more time (trials.timeout), or check guest.ready against what the guest serves",
        )

    def _why(self) -> str:
        return "; ".join(filter(None, (self._instance.epitaph(), self._panic())))

    def _panic(self) -> str:
        """Return why the guest's kernel gave up, in its own words; "" where it has not."""
        reason = self._console.found(_PANIC) if self._console is not None else ""
        return f"kernel panic: {reason}" if reason else ""

    def _last_seen(self, lines: int) -> str:
        if self._console is None:
            return f"last seen: {self.seen}"
        printed = self._console.last_lines(lines)
        return f"last seen: {self.seen}; " + (
            f"console:\n{printed}" if printed else "its console stayed silent"
        )
