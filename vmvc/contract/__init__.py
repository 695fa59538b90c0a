"""All that a plug-in imports: the contracts of backends, instances and metrics, and the data they exchange.

A backend says how a guest is run and isolated; an instance is one running container, machine or process; a
metric turns events or a ready instance into readings. The runner holds the only clock: no backend measures
time. Everything here is plain data or an abstract class, so a plug-in is one file. It is imported from here,
never from a part: where a name stands may change.
"""

from vmvc.contract.backend import Backend, Isolation, Preparation, Scalar
from vmvc.contract.clock import Clock, MonotonicClock
from vmvc.contract.event import EVENTS, IMAGE_EVENTS, Ending, Event, Marks
from vmvc.contract.finding import Finding, Severity
from vmvc.contract.guest import Guest, Made
from vmvc.contract.instance import (
    MOST_OUTPUT,
    NO_LIMIT,
    ByteStream,
    Completed,
    DiskUsage,
    Instance,
    Limits,
    Processes,
)
from vmvc.contract.metric import Fleet, Member, Metric, Observation, Observes, Scene
from vmvc.contract.options import Options
from vmvc.contract.reading import Absent, Quantity, Reading, Series
from vmvc.contract.tag import LABEL, Tag

__all__ = [
    "EVENTS",
    "IMAGE_EVENTS",
    "LABEL",
    "MOST_OUTPUT",
    "NO_LIMIT",
    "Absent",
    "Backend",
    "ByteStream",
    "Clock",
    "Completed",
    "DiskUsage",
    "Ending",
    "Event",
    "Finding",
    "Fleet",
    "Guest",
    "Instance",
    "Isolation",
    "Limits",
    "Made",
    "Marks",
    "Member",
    "Metric",
    "MonotonicClock",
    "Observation",
    "Observes",
    "Options",
    "Preparation",
    "Processes",
    "Quantity",
    "Reading",
    "Scalar",
    "Scene",
    "Series",
    "Severity",
    "Tag",
]
