"""Probes over the network beside a guest that announces its network on the console."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.test_probes import INTERVAL, StubInstance, closes, holds, http, serving, wait
from vmvc.console import ConsoleTap
from vmvc.contract import Marks, MonotonicClock
from vmvc.probes import network

LINE = b"vmvc: network\n"


class Machine(StubInstance):
    """An instance whose guest announces its network."""

    def marks(self) -> Marks:
        return Marks({"network": "^vmvc: network$"})


class Speaking:
    """A console that prints a line as soon as it is told to, and may then end."""

    def __init__(self, line: bytes, ends: bool = False) -> None:
        self.speak = threading.Event()
        self.spoke_at = 0
        self._line = line
        self._ends = ends

    def read(self, timeout: float) -> bytes | None:
        if self.spoke_at or not self.speak.wait(timeout):
            return b"" if self.spoke_at and self._ends else None
        self.spoke_at = time.monotonic_ns()
        return self._line

    def close(self) -> None:
        self.speak.set()


@contextmanager
def speaking(
    line: bytes = LINE, after: float = 0.5, ends: bool = False
) -> Iterator[tuple[Speaking, ConsoleTap]]:
    stream = Speaking(line, ends)
    timer = threading.Timer(after, stream.speak.set)
    timer.start()
    tap = ConsoleTap(stream, MonotonicClock())
    try:
        yield stream, tap
    finally:
        timer.cancel()
        tap.close()


def test_next_to_nobody_connects_before_the_guest_has_a_network() -> None:
    """What is held meanwhile comes back to the guest later: one attempt a second is all there is of it."""
    with speaking() as (stream, tap), serving(holds, ready_from=30) as server:
        early: list[int] = []
        watching = threading.Thread(target=lambda: early.append(stream.speak.wait() and server.connections))
        watching.start()
        event = wait(http(), Machine(server.port), tap)
        watching.join()
    assert early[0] <= 2
    assert server.connections >= 30
    assert event.at > server.ready_at > stream.spoke_at
    assert event.at - stream.spoke_at >= 28 * INTERVAL * 1e9, "they keep their interval"


def test_few_wait_at_once_in_a_guest_that_has_a_network() -> None:
    """A small server has a queue of ten, and what waits there when it is ready comes before all others."""
    with speaking(after=0.0) as (_, tap), serving(holds, ready_from=40) as server:
        wait(http(), Machine(server.port), tap)
    # The server may see the end of one later than the beginning of the next.
    assert network.AT_ONCE <= server.most_at_once <= 2 * network.AT_ONCE


def test_a_closed_port_is_asked_every_interval() -> None:
    with speaking(after=0.0) as (_, tap), serving(closes, ready_from=50) as server:
        began = time.monotonic_ns()
        event = wait(http(), Machine(server.port), tap)
    assert (event.at - began) / 1e9 < 50 * INTERVAL + 5
    assert event.resolution < 20 * INTERVAL


def test_the_announcement_proves_that_the_guest_could_not_answer_before() -> None:
    with speaking() as (stream, tap), serving(holds, ready_from=2) as server:
        event = wait(http(), Machine(server.port), tap)
    assert (event.at - stream.spoke_at) / 1e9 < 0.4
    assert event.resolution < 0.4, "the half second before is not in it"


def test_a_line_that_was_torn_costs_a_second_and_no_trial() -> None:
    with (
        speaking(b"vmvc: netw[ 1.234567] eth0: up\n", 0.0) as (_, tap),
        serving(holds, ready_from=3) as server,
    ):
        began = time.monotonic_ns()
        event = wait(http(), Machine(server.port), tap)
    assert server.connections == 3
    assert (event.at - began) / 1e9 >= 2
    assert event.resolution > 0.9


@pytest.mark.parametrize("ends", [True, False], ids=["ended", "never was"])
def test_without_a_console_nobody_waits_for_its_word(ends: bool) -> None:
    with speaking(b"bye\n", 0.0, ends=True) as (_, tap), serving(holds, ready_from=30) as server:
        began = time.monotonic_ns()
        event = wait(http(), Machine(server.port), tap if ends else None)
    assert (event.at - began) / 1e9 < 10


def test_who_announces_nothing_is_asked_from_the_start() -> None:
    with speaking(after=30.0) as (_, tap), serving(holds, ready_from=30) as server:
        began = time.monotonic_ns()
        event = wait(http(), StubInstance(server.port), tap)
    assert (event.at - began) / 1e9 < 10
