"""The instants of a trial: their names, their order, and how a backend says that they are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

EVENTS: Final = (
    *("requested", "created", "started", "console", "kernel", "init", "network", "exec", "ready"),
    *("stop_requested", "stopped", "gone"),
)
"""Names of events in the order in which they happen in a machine; a trial has those that its backend has.

``requested``: just before ``create``; ``created``: ``create`` returned; ``started``: ``start`` returned;
``console``: the first byte of the guest arrived; ``kernel``: the first line of the guest's kernel did;
``init``: the guest's kernel has started its first process; ``network``: the guest's interface is up;
``exec``: the guest's command is executed; ``ready``: the probe succeeded; ``stop_requested``: just before
``stop``; ``stopped``: the guest's command has ended; ``gone``: ``stop`` returned, the guest has ended.
A container has its network before ``exec``, and that before ``started``: an engine starts it in one call.
"""
IMAGE_EVENTS: Final = ("image_requested", "image_ready")
"""Before all others, in a trial whose image was removed first: just before ``fetch``; ``fetch`` returned."""


@dataclass(frozen=True, slots=True)
class Event:
    """An instant of a trial: nanoseconds on the host's monotonic clock.

    ``resolution`` (seconds) bounds how late the instant may be recorded; 0.0 means the host was told.
    """

    at: int
    resolution: float = 0.0


@dataclass(frozen=True, slots=True)
class Marks:
    """How the runner learns of events that no call of a backend tells it.

    ``lines``: event -> regular expression of the line by which the guest's own system announces it on the
    console; a group ``status`` in that of ``stopped`` is the command's exit code or the name of its signal.
    ``absent``: event -> why there is none here.
    """

    lines: Mapping[str, str] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a guest ended that was asked to.

    ``orderly``: of itself; else it had to be ended by force. ``code``: exit code of its command, 128 and N
    where signal N ended it; ``None`` where it is not known, for the ``reason``.
    """

    orderly: bool
    code: int | None = None
    reason: str = ""
