"""Signals -> how often somebody asked to stop, and whether somebody asked where the run is."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Signals:
    """Counts the requests to stop: the first ends the trial in good order, the second at once.

    ``on_asked`` is called at the next ``answer`` after SIGUSR1, which asks where the run is.
    """

    def __init__(self) -> None:
        self.count = 0
        self.on_asked: Callable[[], None] = lambda: None
        self._asked = False

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self.count += 1

    def _ask(self, signum: int, frame: FrameType | None) -> None:
        self._asked = True

    def answer(self) -> None:
        """Tell where the run is, if somebody has asked."""
        if self._asked:
            self._asked = False
            self.on_asked()

    @contextmanager
    def installed(self) -> Iterator[Signals]:
        """Listen to SIGINT, SIGTERM, SIGHUP and SIGUSR1; put back what was there.

        In another thread than the main one nothing can listen, and nothing does.
        """
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        wanted = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
        before = {number: signal.signal(number, self._note) for number in wanted}
        if hasattr(signal, "SIGUSR1"):
            before[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, self._ask)
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
