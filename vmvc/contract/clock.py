"""The runner's clock: no backend measures time."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """The runner's clock; tests inject their own."""

    def now(self) -> int:
        """Return nanoseconds on the host's monotonic clock."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class MonotonicClock:
    """CLOCK_MONOTONIC, the same in every process of this host."""

    def now(self) -> int:
        return time.monotonic_ns()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)
