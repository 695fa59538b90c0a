"""What the parent gives its child process for a trial, and what it gets back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vmvc.contract import Absent, Backend, Event, Finding, Guest, Metric, Reading, Series, Tag
from vmvc.errors import CleanupError, VmvcError

Announce = Callable[[str, float], None]
"""Called with the name of a step and the seconds it may take, just before the step."""


@dataclass(frozen=True, slots=True)
class Job:
    """A trial to run: all that the child process needs."""

    tag: Tag
    backend: Backend
    guest: Guest
    metrics: tuple[Metric, ...]
    timeout: float
    stop_timeout: float
    console_log: Path | None = None
    cold: bool = False
    """Drop the host's page cache just before the first event."""
    absent: bool = False
    """Remove the image first, and time how long it takes to have it again."""
    rehearsed: bool = False
    """Let a life that nobody times come first, so that the page cache is warm whatever came before."""


@dataclass(slots=True)
class Outcome:
    """What a trial gave; with a ``failure`` there are no readings."""

    events: dict[str, Event] = field(default_factory=dict)
    readings: list[tuple[str, Reading]] = field(default_factory=list)
    absent: list[tuple[str, Absent]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    proof: dict[str, float] = field(default_factory=dict)
    series: list[tuple[str, Series]] = field(default_factory=list)
    failure: tuple[str, VmvcError] | None = None
    cleanup: CleanupError | None = None


def pick(metrics: Sequence[Metric], names: Sequence[str]) -> tuple[Metric, ...]:
    """Return the metrics of those names, in that order."""
    by_name = {metric.name: metric for metric in metrics}
    return tuple(by_name[name] for name in names)
