"""What a platform tells and a guest prints -> the events of a trial that no call of a backend stands for.

A backend tells by ``Instance.watch``, a machine's kernel and init by lines on the console: both are stamped
here as they arrive, by the runner's clock. The first word on an event counts.
"""

from __future__ import annotations

import re
import signal
from typing import Final

from vmvc.console import ConsoleTap, Search
from vmvc.contract import Clock, Event, Instance
from vmvc.errors import Unavailable

TOLD: Final = ("kernel", "init", "network", "exec", "stopped")
"""Events that are learned of in this way."""
UNTOLD: Final = "the platform does not tell of this"
UNSEEN: Final = "no line of the guest's console announced it"
LAST_WORDS: Final = 0.5
"""Seconds in which the reader takes up what a guest printed before its end."""


class Milestones:
    """The events of one trial; made before its instance is created."""

    def __init__(self, instance: Instance, clock: Clock) -> None:
        self._instance = instance
        self._clock = clock
        self._marks = instance.marks()
        self._told: dict[str, Event] = {}
        self._searches: dict[str, Search] = {}
        instance.watch(self._tell)

    def listen(self, tap: ConsoleTap | None) -> None:
        """Search the console for the lines of a guest that starts."""
        for event, line in self._marks.lines.items():
            if tap is not None and event != "stopped":
                self._searches[event] = tap.search(re.compile(line))

    def listen_for_the_end(self, tap: ConsoleTap | None) -> None:
        """Search what a guest that was asked to stop prints from now on."""
        if tap is not None and (line := self._marks.lines.get("stopped")):
            self._searches["stopped"] = tap.search(re.compile(line), past=False)

    def events(self) -> dict[str, Event]:
        """Return those that have happened so far."""
        seen = {event: found for event, one in self._searches.items() if (found := one.wait(0))}
        return {**seen, **self._told}

    def absent(self) -> dict[str, str]:
        """Say why the others are missing."""
        seen = {event: UNSEEN if event in self._marks.lines else UNTOLD for event in TOLD}
        return {**seen, **self._marks.absent}

    def exit_code(self, tap: ConsoleTap | None) -> int:
        """Return how the guest's command ended, by the platform's word or the guest's own.

        Raises: Unavailable.
        """
        search = self._searches.get("stopped")
        if search is None or tap is None:
            return self._instance.exit_code()
        tap.drain(LAST_WORDS)
        if search.match is None:
            raise Unavailable("the guest did not say how its command ended")
        return _code(search.match["status"])

    def _tell(self, event: str) -> None:
        at = self._clock.now()
        self._told.setdefault(event, Event(at))


def _code(status: str) -> int:
    """Read a number, or the name of a signal as systemd gives it: ``TERM``.

    Raises: Unavailable.
    """
    if status.isdecimal():
        return int(status)
    try:
        return 128 + signal.Signals[f"SIG{status.removeprefix('SIG')}"]
    except KeyError:
        raise Unavailable(f"the guest said of its command's end what makes no sense: {status!r}") from None
