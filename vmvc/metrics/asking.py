"""A guest's page, asked for again and again -> how long each answer took; one request at a time.

The next request follows the answer at once (a closed loop), so a slow answer also delays what comes after it:
rates of different situations compare, but they are not those of a load that does not wait.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vmvc.contract import Clock, Instance
from vmvc.errors import TrialError
from vmvc.probes import network
from vmvc.spec import Http

SECOND: Final = 10**9
LEAST_FOR_P99: Final = 100
"""Answers below which there is no 99th percentile: it would be the slowest one."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Seconds of each answer, in order, and how long all of it took; ``failed``: why it ended early."""

    took: Sequence[float]
    seconds: float
    failed: str = ""

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.took) / self.seconds

    def quantile(self, p: float) -> float:
        """Return the smallest answer time that the share ``p`` of all does not exceed."""
        ordered = sorted(self.took)
        return ordered[max(0, math.ceil(p * len(ordered)) - 1)]


def ask(instance: Instance, page: Http, seconds: float, patience: float, clock: Clock) -> Answers:
    """Ask for so many seconds; an answer that is wrong, or late by ``patience``, ends it."""
    took: list[float] = []
    question = network.http(page)
    began = clock.now()
    end = began + round(seconds * SECOND)
    try:
        address = instance.endpoint(page.port)
        while (now := clock.now()) < end:
            if why := _one(address, question, patience):
                return Answers(took, (clock.now() - began) / SECOND, why)
            took.append((clock.now() - now) / SECOND)
    except TrialError as error:
        return Answers(took, (clock.now() - began) / SECOND, error.what)
    return Answers(took, (clock.now() - began) / SECOND)


def _one(address: tuple[str, int], question: network.Question, patience: float) -> str:
    """Ask once and read to the end; return what was wrong, "" where nothing was."""
    answer = b""
    try:
        with socket.create_connection(address, patience) as connected:
            # The guest closes first, so no port waits here; a reset stalls QEMU's user network for seconds.
            connected.sendall(question.send)
            while data := connected.recv(65536):
                if len(answer) < network.MOST_BYTES:
                    answer += data
    except TimeoutError:
        return f"no answer within {patience:g} s"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    right, seen = question.judge(answer)
    return "" if right else f"it answered with {seen}"
