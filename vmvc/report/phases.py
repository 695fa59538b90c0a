"""Instants of trials since their request -> the phases of the start-up, one a recorded event."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import Final

from vmvc.contract import EVENTS
from vmvc.report.figures import Phase
from vmvc.report.view import Condition

WORDS: Final = {
    "created": "create",
    "started": "start",
    "exec": "until its command runs",
    "console": "until first output",
    "kernel": "until the kernel's first line",
    "init": "until init",
    "network": "until the network",
    "ready": "until ready",
}
"""Event -> the phase that ends with it; of another event it is ``until EVENT``."""


BEFORE: Final = EVENTS[1 : EVENTS.index("ready")]
"""Events between request and readiness."""


def phase_of(event: str) -> str:
    """Return the name of the phase that ends with an event."""
    return WORDS.get(event, f"until {event}")


def names() -> tuple[str, ...]:
    """Return the names of all phases, in the order in which their events are declared."""
    return tuple(phase_of(event) for event in dict.fromkeys([*BEFORE, *WORDS]))


def phases(
    offsets: Mapping[str, Mapping[str, Sequence[float]]], conditions: Iterable[Condition]
) -> Iterator[Phase]:
    """Yield the phases between medians of events since the request, in the order in which events happened.

    ``offsets``: condition -> event -> seconds since the request, of the trials that count. An event that
    only some of them have ends no phase.
    """
    order = {event: place for place, event in enumerate(dict.fromkeys([*BEFORE, *WORDS]))}
    for condition in conditions:
        instants = offsets.get(condition.id, {})
        ready = instants.get("ready")
        if not ready:
            continue
        end = median(ready)
        marks = sorted(
            (median(found), order.get(event, len(order)), event)
            for event, found in instants.items()
            if event != "requested" and len(found) == len(ready)
        )
        begin = 0.0
        for at, _, event in marks:
            if 0 <= at <= end and (event == "ready" or at < end):
                yield Phase(condition.label, phase_of(event), begin, at, len(ready))
                begin = at
