"""Something to measure: its contract, and what it sees."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from vmvc.contract.clock import Clock
from vmvc.contract.event import Ending, Event
from vmvc.contract.finding import Finding
from vmvc.contract.guest import Guest
from vmvc.contract.instance import Instance
from vmvc.contract.options import Options
from vmvc.contract.reading import Absent, Quantity, Reading, Series


class Observes(StrEnum):
    """When a metric is asked: over the ``events`` of a whole trial, in a ``ready`` instance, on a ``fleet``.

    A metric of a fleet gets a trial of its own, whose ready instance is the fleet's first member; it starts
    the others itself, by ``scene.fleet``.
    """

    EVENTS = "events"
    READY = "ready"
    FLEET = "fleet"


@dataclass(frozen=True, slots=True)
class Member:
    """A ready instance of a fleet: its number from 1, and its own ``requested`` ... ``ready``."""

    number: int
    instance: Instance
    events: Mapping[str, Event]


class Fleet(Protocol):
    """Instances of one backend and guest that are there at the same time; they are removed for the metric."""

    @property
    def members(self) -> Sequence[Member]:
        """Those that became ready, the trial's own first, by number."""

    def grow(self, count: int, enough: Callable[[], str] = lambda: "") -> None:
        """Start so many more at once, and return when each is ready.

        ``enough`` is called once a second: as soon as it gives a reason, those that are not ready are given
        up.

        Raises: TrialError where not all became ready: those that did stay, the others are gone by then.
        """


@dataclass(frozen=True, slots=True)
class Scene:
    """What a metric sees.

    ``events``: those so far (``ready`` metrics) or all (``events`` metrics). ``before``: what the metric's
    own ``before`` returned. ``timeout``: seconds that one observation may take.
    """

    events: Mapping[str, Event]
    guest: Guest
    instance: Instance
    clock: Clock
    before: Any = None
    timeout: float = 180.0
    notes: Mapping[str, str] = field(default_factory=dict)
    """Why an event is missing, by event name."""
    fleet: Fleet | None = None
    """Of metrics that observe a fleet."""
    ending: Ending | None = None
    """Of metrics that observe events, where the guest was asked to stop."""


Observation = Reading | Absent | Finding | Series
"""What a metric may give: a reading or an absence for each quantity, and what it found besides."""


class Metric(ABC):
    """Something to measure: declares its quantities and turns a scene into readings.

    An experiment may have several metrics of one class under names of its own (``cpu: {kind: workload}``), so
    no options model has a field ``kind``.
    """

    name: str
    """Of the class: its kind, which an experiment asks for. Of an object: its name in the experiment."""
    quantities: tuple[Quantity, ...]
    """Of the class: those of every object; empty where ``__init__`` sets them, by the options."""
    observes: ClassVar[Observes]
    loads_guest: ClassVar[bool] = False
    """True where measuring disturbs the guest: the metric then gets an instance of its own."""
    runs_inside: ClassVar[bool] = False
    """True where looking runs short commands in the guest: the metric is asked after those that do not."""
    options_model: ClassVar[type[Options]] = Options
    says: ClassVar[str]
    """One line for ``vmvc list metrics``."""
    needs: ClassVar[str] = "an instance"
    """What must be there for it to be had, in one line for ``vmvc list metrics``."""

    def __init__(self, options: Options, name: str = "") -> None:
        self.options = options
        if name:
            self.name = name

    @classmethod
    def presets(cls) -> Mapping[str, Metric]:
        """Return ready-made objects by the name that asks for them, for ``vmvc list metrics``."""
        return {}

    def check(self, guest: Guest) -> Sequence[Finding]:
        """Say, before the first trial, what this metric lacks in such a guest or on this host.

        Changes nothing; an error stops the run. Every finding has a remedy.
        """
        return ()

    def ports(self) -> tuple[int, ...]:
        """Return guest ports that this metric must reach from the host, besides those of readiness."""
        return ()

    def seconds(self) -> float:
        """Return how long one observation lasts by design (a settle time); for deadlines and estimates."""
        return 0.0

    def lives(self) -> int:
        """Return how many lives of an instance, one after the other, one observation takes; for estimates."""
        return 1

    def before(self) -> Any:
        """Look at the host just before the trial's first event, outside the timed part."""
        return None

    @abstractmethod
    def observe(self, scene: Scene) -> Iterable[Observation]:
        """Return one reading, or one absence with its reason, for each declared quantity; findings at will.

        Raises: TrialError where the observation itself failed; the trial is then a failed trial.
        """
