"""A fleet that grows until it may not -> start time of the n-th, bytes per instance, and how many would fit.

The first member is the trial's own instance, started alone; the others come one by one, or in bursts. When a
burst has settled the host is looked at, so every line stands on one point a burst. Growth ends at the first
of: the number asked for, the memory that always stays free, an instance that did not become ready or did not
live, a 95th percentile of readiness beyond its limit, a page that came back from swap.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

import psutil
from pydantic import Field

from vmvc import cputimes, host
from vmvc.contract import (
    Absent,
    Finding,
    Fleet,
    Member,
    Metric,
    Observation,
    Observes,
    Options,
    Quantity,
    Reading,
    Scene,
    Severity,
)
from vmvc.errors import TrialError, Unavailable
from vmvc.metrics.growth import CAPACITY, LINES, Before, Growth, Point, seconds
from vmvc.units import Duration, Size, show_bytes, show_seconds

MOST: Final = 1000
MOST_AT_ONCE: Final = 64
LATE: Final = 0.95
LONGEST: Final = 300
"""Characters of a failure in a finding: the end of a console may be in it."""
SLICE: Final = 1.0
"""Seconds between two looks at the host's memory while the fleet rests."""


class DensityOptions(Options):
    """Options of the metric."""

    instances: int = Field(default=20, ge=2, le=MOST, description="How many instances to reach.")
    concurrency: int = Field(
        default=1,
        ge=1,
        le=MOST_AT_ONCE,
        description="How many to start at once, after the first; the next burst begins when all are ready.",
    )
    settle: Duration = Field(
        default=1.0, description="Time from a burst's readiness until memory and disk are looked at."
    )
    idle: Duration = Field(
        default=10.0, description="How long the fleet's CPU time is counted while nothing is asked of it."
    )
    keep_free: Size | None = Field(
        default=None,
        description="Available memory that stays free; never less than 1 GiB or a tenth of the host's.",
    )
    ready_limit: Duration | None = Field(
        default=None,
        description="Growth ends when the 95th percentile of time to ready is longer; by default no limit.",
    )


class Density(Metric):
    """How many instances this host carries, and what each more of them costs.

    The slope is what the next instance costs. The memory of one alone also holds what all of them share: that
    is in the intercept. Memory is the host's, so whatever else it does is noise in the slope.
    """

    name = "density"
    says = "a fleet of instances: start of the n-th, memory and disk per instance, how many this host carries"
    needs = "an image, and memory above the floor that stays free"
    observes = Observes.FLEET
    options_model = DensityOptions
    options: DensityOptions
    quantities = (
        Quantity("instances", "1", "higher", "Instances that ran at the same time at the end of growth."),
        Quantity("first_ready", "s", "lower", "Time from request to ready of the first instance, alone."),
        Quantity(
            "nth_ready",
            "s",
            "lower",
            "Time from request to ready of the last instance, beside the others and with those of its burst.",
        ),
        *LINES,
        Quantity(
            "idle_cpu", "1", "lower", "CPU seconds per second of the idle fleet's processes and helpers."
        ),
        *CAPACITY,
    )

    def seconds(self) -> float:
        return self.lives() * self.options.settle + self.options.idle

    def lives(self) -> int:
        return 1 + math.ceil((self.options.instances - 1) / self.options.concurrency)

    def before(self) -> Before:
        """Return what the host has before the first instance."""
        return Before(host.mem_available(), host.swapped_in())

    def observe(self, scene: Scene) -> Iterator[Observation]:
        """Grow the fleet, let it idle, then report.

        Raises: CleanupError where an instance that failed could not be removed.
        """
        fleet = scene.fleet
        if fleet is None or not isinstance(scene.before, Before):
            yield from (Absent(quantity.name, "there is no fleet to look at") for quantity in self.quantities)
            return
        floor = max(self.options.keep_free or 0, host.memory_floor(psutil.virtual_memory().total))
        growth = Growth(scene.before, floor)
        yield self._grow(scene, fleet, growth)
        idle = self._idle_cpu(scene, fleet, growth)
        yield Reading("instances", sum(one.instance.alive() for one in fleet.members))
        yield _ready("first_ready", fleet.members[0])
        yield _ready("nth_ready", fleet.members[-1])
        yield Absent("idle_cpu", idle.what) if isinstance(idle, Unavailable) else Reading("idle_cpu", idle)
        yield from growth.readings()
        yield growth.series(fleet.members)

    def _grow(self, scene: Scene, fleet: Fleet, growth: Growth) -> Finding:
        """Grow until something ends it, and say what."""
        try:
            fleet.members[0].instance.processes()
        except Unavailable as elsewhere:
            return _stopped(1, f"the memory that it takes cannot be watched: {elsewhere.what}")
        while True:
            count = len(fleet.members)
            if why := self._rest(scene, growth, self.options.settle) or _dead(fleet):
                return _stopped(count, why)
            _look(fleet, growth)
            if why := self._limit(fleet, growth):
                return _stopped(count, why)
            if count >= self.options.instances:
                return Finding(
                    "density.stopped",
                    Severity.INFO,
                    f"growth ended at {count} instances: as many as were asked for",
                    "to see how many the host carries, raise metrics.density.instances",
                )
            more = min(self.options.concurrency, self.options.instances - count)
            if growth.points[-1].available - more * growth.need() < growth.floor:
                return _stopped(count, f"{more} more would leave less than {show_bytes(growth.floor)} free")
            try:
                fleet.grow(more, lambda: _low(growth))
            except TrialError as error:
                return _stopped(len(fleet.members), " ".join(error.what.split())[:LONGEST])

    def _limit(self, fleet: Fleet, growth: Growth) -> str:
        """Return which limit was passed, "" while all are kept."""
        now, then = host.swapped_in(), growth.before.swapped_in
        if now is not None and then is not None and now > then:
            return f"{now - then} pages came back from swap"
        limit = self.options.ready_limit
        late = _quantile([seconds(one) for one in fleet.members], LATE)
        if limit is not None and late > limit:
            return f"the 95th percentile of readiness is {show_seconds(late)}, over {show_seconds(limit)}"
        return ""

    def _rest(self, scene: Scene, growth: Growth, duration: float) -> str:
        """Wait, with an eye on the host's memory; return what cut the wait short, "" where nothing did."""
        end = scene.clock.now() + round(duration * 1e9)
        while not (why := _low(growth)) and (left := (end - scene.clock.now()) / 1e9) > 0:
            scene.clock.sleep(min(left, SLICE))
        return why

    def _idle_cpu(self, scene: Scene, fleet: Fleet, growth: Growth) -> float | Unavailable:
        """Return the CPU seconds per second of a fleet of which nothing is asked."""
        pids: set[int] = set()
        if why := _dead(fleet):
            return Unavailable(why)
        try:
            for one in fleet.members:
                there = one.instance.processes()
                pids.update(there.own, there.helpers)
            began, before = scene.clock.now(), cputimes.look(pids)
            why = self._rest(scene, growth, self.options.idle) or _dead(fleet)
            ended, after = scene.clock.now(), cputimes.look(pids)
        except Unavailable as reason:
            return reason
        except TrialError as error:
            return Unavailable(error.what)
        if not before:
            why = why or "the fleet shows no process of its own"
        if ended <= began:
            why = why or "metrics.density.idle leaves no time in which CPU time could be counted"
        return Unavailable(why) if why else cputimes.used(before, after) / ((ended - began) / 1e9)


def _stopped(count: int, why: str) -> Finding:
    return Finding(
        "density.stopped",
        Severity.WARNING,
        f"growth ended at {count} {'instance' if count == 1 else 'instances'}: {why}",
        "take the smaller fleet as the result, or remove what ended it",
    )


def _dead(fleet: Fleet) -> str:
    """Say which instance did not live, "" where all do."""
    for one in fleet.members:
        if not one.instance.alive():
            how = one.instance.epitaph()
            return f"instance {one.number} ended after it was ready{f' ({how})' if how else ''}"
    return ""


def _low(growth: Growth) -> str:
    """Say that memory is below the floor, "" while it is not."""
    if host.mem_available() >= growth.floor:
        return ""
    return f"less than {show_bytes(growth.floor)} of the host's memory is free"


def _look(fleet: Fleet, growth: Growth) -> None:
    """Add a point: memory first, since looking at the rest costs memory too; each member's disk once."""
    available = host.mem_available()
    for one in fleet.members:
        if one.number not in growth.disks:
            growth.disks[one.number] = _disk(one)
    sizes = [growth.disks[one.number] for one in fleet.members]
    hidden = [size for size in sizes if isinstance(size, Unavailable)]
    total = sum(size for size in sizes if not isinstance(size, Unavailable))
    growth.points.append(Point(len(fleet.members), available, hidden[0] if hidden else total))


def _disk(member: Member) -> int | Unavailable:
    try:
        usage = member.instance.disk()
    except Unavailable as reason:
        return reason
    if usage.unique is None:
        return Unavailable(usage.absent.get("unique", "the backend cannot tell and gives no reason"))
    return usage.unique


def _ready(quantity: str, member: Member) -> Reading:
    return Reading(quantity, seconds(member), member.events["ready"].resolution)


def _quantile(samples: Sequence[float], p: float) -> float:
    """Return a quantile that interpolates linearly (R-7), as the summary's quartiles do."""
    ordered = sorted(samples)
    place = p * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
