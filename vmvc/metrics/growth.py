"""Looks at a host while a fleet grows -> bytes per instance, and how many instances the host has room for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Final

from vmvc import stats
from vmvc.contract import Absent, Member, Quantity, Reading, Series
from vmvc.errors import Unavailable

LINES: Final = (
    Quantity(
        "memory_slope",
        "B",
        "lower",
        "What each further instance takes of the host's available memory: median slope (Theil-Sen).",
    ),
    Quantity("memory_slope_low", "B", "lower", "Lower end of the 95% interval of `memory_slope`."),
    Quantity("memory_slope_high", "B", "lower", "Upper end of the 95% interval of `memory_slope`."),
    Quantity(
        "memory_intercept",
        "B",
        "lower",
        "What the line of `memory_slope` has left for no instance: the cost that all of them share.",
    ),
    Quantity(
        "disk_slope",
        "B",
        "lower",
        "What each further instance adds for itself to the host's storage: median slope (Theil-Sen).",
    ),
    Quantity("disk_slope_low", "B", "lower", "Lower end of the 95% interval of `disk_slope`."),
    Quantity("disk_slope_high", "B", "lower", "Upper end of the 95% interval of `disk_slope`."),
    Quantity("disk_intercept", "B", "lower", "What the line of `disk_slope` has left for no instance."),
)
CAPACITY: Final = (
    Quantity(
        "capacity",
        "1",
        "higher",
        "Instances with which only the memory floor would be free, predicted by the line of memory alone.",
    ),
    Quantity(
        "capacity_low", "1", "higher", "The same by the steeper end of the 95% interval of `memory_slope`."
    ),
    Quantity(
        "capacity_high", "1", "higher", "The same by the flatter end of the 95% interval of `memory_slope`."
    ),
)


@dataclass(frozen=True, slots=True)
class Before:
    """The host before the first instance; ``swapped_in``: pages since boot, ``None`` where not counted."""

    available: int
    swapped_in: int | None


@dataclass(frozen=True, slots=True)
class Point:
    """The host with so many settled instances; ``disk``: bytes that only they use, or why not known."""

    count: int
    available: int
    disk: int | Unavailable


@dataclass(slots=True)
class Growth:
    """What was seen so far. ``floor``: bytes that stay free. ``disks``: member -> bytes that only it uses."""

    before: Before
    floor: int
    points: list[Point] = field(default_factory=list)
    disks: dict[int, int | Unavailable] = field(default_factory=dict)

    def need(self) -> float:
        """Return the most that one more instance has taken of the host's memory in any step so far."""
        known = [Point(0, self.before.available, 0), *self.points]
        return max((one.available - two.available) / (two.count - one.count) for one, two in pairwise(known))

    def readings(self) -> Iterator[Reading | Absent]:
        """Return every quantity of ``LINES`` and ``CAPACITY``."""
        counts = [point.count for point in self.points]
        drops = [self.before.available - point.available for point in self.points]
        disks = [point.disk for point in self.points if isinstance(point.disk, int)]
        hidden = [point.disk.what for point in self.points if isinstance(point.disk, Unavailable)]
        if len(counts) < 2:
            reason = "the fleet did not grow far enough: a line needs two looks at the host"
            yield from (Absent(quantity.name, reason) for quantity in (*LINES, *CAPACITY))
            return
        yield from _line("memory", counts, drops)
        if hidden:
            yield from (Absent(one.name, hidden[0]) for one in LINES if one.name.startswith("disk"))
        else:
            yield from _line("disk", counts, disks)
        yield from _capacity(counts, drops, self.before.available - self.floor)

    def series(self, members: Sequence[Member]) -> Series:
        """Return a row a member; what was seen of the host stands in the last row of each burst."""
        available = {point.count: point.available for point in self.points}
        columns = {"instance": "1", "ready": "s", "ready_resolution": "s", "disk": "B", "available": "B"}
        rows: list[dict[str, float]] = []
        for count, member in enumerate(members, 1):
            resolution = member.events["ready"].resolution
            row = {"instance": member.number, "ready": seconds(member), "ready_resolution": resolution}
            if isinstance(disk := self.disks.get(member.number), int):
                row["disk"] = disk
            if count in available:
                row["available"] = available[count]
            rows.append(row)
        return Series(columns, rows)


def seconds(member: Member) -> float:
    """Return the time from request to ready."""
    return (member.events["ready"].at - member.events["requested"].at) / 1e9


def _line(name: str, counts: Sequence[int], values: Sequence[int]) -> Iterator[Reading | Absent]:
    slope, intercept = stats.slope(counts, values)
    yield (
        Absent(f"{name}_slope", slope.reason)
        if slope.value is None
        else Reading(f"{name}_slope", slope.value)
    )
    for place, end in enumerate(("low", "high")):
        if slope.interval is None:
            yield Absent(f"{name}_slope_{end}", slope.reason)
        else:
            yield Reading(f"{name}_slope_{end}", slope.interval[place])
    yield Reading(f"{name}_intercept", intercept)


def _capacity(counts: Sequence[int], drops: Sequence[int], room: int) -> Iterator[Reading | Absent]:
    """Follow the line, and those of its interval, from the middle of the points until no room is left."""
    slope, _ = stats.slope(counts, drops)
    flat, steep = slope.interval or (None, None)
    for quantity, one in zip(CAPACITY, (slope.value, steep, flat), strict=True):
        if one is None:
            yield Absent(quantity.name, slope.reason)
        elif one <= 0:
            yield Absent(quantity.name, "by this slope further instances take no memory, so it has no end")
        else:
            fits = median(counts) + (room - median(drops)) / one
            yield Reading(quantity.name, max(0, math.floor(fits)))
