"""Instances asked for at the same moment -> how long each took to be ready, beside one that started alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Final

import psutil
from pydantic import Field

from vmvc import host
from vmvc.contract import (
    Absent,
    Member,
    Metric,
    Observation,
    Observes,
    Options,
    Quantity,
    Reading,
    Scene,
    Series,
)
from vmvc.errors import StepFailed
from vmvc.metrics.growth import seconds
from vmvc.units import show_bytes

MOST: Final = 64
_COLUMNS: Final = {"instance": "1", "created": "s", "started": "s", "ready": "s", "ready_resolution": "s"}


class BurstOptions(Options):
    """Options of the metric."""

    instances: int = Field(
        default=8, ge=2, le=MOST, description="How many to start at once, beside the first, which runs."
    )


class Burst(Metric):
    """How starts disturb one another: N at once, each with its own probe, while the trial's own rests.

    The threads that start them share one interpreter, so with many at once an instant may come late: the
    resolution of readiness counts the gaps as they were. One that does not become ready fails the trial.
    """

    name = "burst"
    says = "parallel starts: N instances at once, how long each took to be ready, and one alone beside them"
    needs = "an image, and memory above the floor that stays free"
    observes = Observes.FLEET
    options_model = BurstOptions
    options: BurstOptions
    quantities = (
        Quantity("alone", "s", "lower", "Time from request to ready of the first instance, started alone."),
        Quantity("fastest", "s", "lower", "Shortest time from request to ready of those started at once."),
        Quantity("median", "s", "lower", "Median time from request to ready of those started at once."),
        Quantity("slowest", "s", "lower", "Longest time from request to ready of those started at once."),
        Quantity("all_ready", "s", "lower", "Time from the first request of the burst until all were ready."),
    )

    def lives(self) -> int:
        return 2

    def before(self) -> int:
        """Return the host's available memory."""
        return host.mem_available()

    def observe(self, scene: Scene) -> Iterator[Observation]:
        """Start the burst and report.

        Raises: TrialError where one does not become ready, or there is not the memory for all.
        """
        fleet = scene.fleet
        if fleet is None or not isinstance(scene.before, int):
            yield from (Absent(one.name, "there is no fleet to look at") for one in self.quantities)
            return
        floor = host.memory_floor(psutil.virtual_memory().total)
        available = host.mem_available()
        count = self.options.instances
        if available - count * max(0, scene.before - available) < floor:
            raise StepFailed(
                f"{count} more would leave less than {show_bytes(floor)} of the host's memory free",
                hint="ask for fewer: metrics.burst.instances",
            )
        fleet.grow(count, lambda: _low(floor))
        alone, *burst = fleet.members
        yield _reading("alone", [alone], seconds(alone))
        times = [seconds(one) for one in burst]
        yield _reading("fastest", burst, min(times))
        yield _reading("median", burst, median(times))
        yield _reading("slowest", burst, max(times))
        first = min(one.events["requested"].at for one in burst)
        last = max(one.events["ready"].at for one in burst)
        yield _reading("all_ready", burst, (last - first) / 1e9)
        yield Series(_COLUMNS, [_row(one) for one in fleet.members])


def _low(floor: int) -> str:
    if host.mem_available() >= floor:
        return ""
    return f"less than {show_bytes(floor)} of the host's memory is free"


def _reading(name: str, members: Sequence[Member], value: float) -> Reading:
    """Return a time that is late by what the latest of its instants may be late by."""
    return Reading(name, value, max(one.events["ready"].resolution for one in members))


def _row(member: Member) -> dict[str, float]:
    begin = member.events["requested"].at
    row = {name: (member.events[name].at - begin) / 1e9 for name in ("created", "started", "ready")}
    return {"instance": member.number, **row, "ready_resolution": member.events["ready"].resolution}
