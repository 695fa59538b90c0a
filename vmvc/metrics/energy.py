"""The CPU's own energy counters -> what a start took, and what the host draws while the instance rests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from pydantic import Field

from vmvc import host
from vmvc.contract import (
    Absent,
    Finding,
    Guest,
    Metric,
    Observes,
    Options,
    Quantity,
    Reading,
    Scene,
    Severity,
)
from vmvc.errors import GuestDied, Unavailable
from vmvc.units import Duration

LONGEST: Final = 600.0
"""Seconds in which no counter goes round twice."""


class EnergyOptions(Options):
    """Options of the metric."""

    for_: Duration = Field(
        default=10.0,
        alias="for",
        gt=0,
        le=LONGEST,
        description="How long power is measured while nothing is asked of the ready instance; 10m at most.",
    )


class Energy(Metric):
    """Energy of the whole host's CPU packages and memory: no counter tells what one instance used.

    So it is compared with the bare host, on a host where nothing else works. It gets an instance of its own,
    in which no other metric works, and is asked as soon as that is ready.
    """

    name = "energy"
    says = "joules of the host's CPU packages for a start, watts beside an idle instance, where RAPL is shown"
    needs = "RAPL counters of this host, which only root may read"
    observes = Observes.READY
    loads_guest = True
    options_model = EnergyOptions
    options: EnergyOptions
    quantities = (
        Quantity(
            "start",
            "J",
            "lower",
            "Energy of the host's CPU packages from just before the request until ready.",
        ),
        Quantity(
            "power", "W", "lower", "Mean power of the host's CPU packages while the ready instance rests."
        ),
        Quantity(
            "dram_power", "W", "lower", "Mean power of the host's memory while the ready instance rests."
        ),
    )

    def check(self, guest: Guest) -> Sequence[Finding]:
        """Say that there will be no values where this host shows no counters."""
        try:
            host.energy_counters()
        except Unavailable as reason:
            remedy = "leave the metric energy out, or measure as root on bare hardware"
            return [
                Finding("energy.unseen", Severity.WARNING, f"energy will be absent: {reason.what}", remedy)
            ]
        return ()

    def seconds(self) -> float:
        return self.options.for_

    def before(self) -> host.EnergyCounters | Unavailable:
        """Return the counters just before the request."""
        return _look()

    def observe(self, scene: Scene) -> Iterator[Reading | Absent]:
        """Look at once, rest, and look again.

        Raises: GuestDied where the guest ends meanwhile.
        """
        ready, began = _look(), scene.clock.now()
        if isinstance(ready, Unavailable):
            yield from (Absent(quantity.name, ready.what) for quantity in self.quantities)
            return
        before = Unavailable("nobody looked before the request") if scene.before is None else scene.before
        yield _reading("start", before, ready, "package", 1.0)
        scene.clock.sleep(self.options.for_)
        after, ended = _look(), scene.clock.now()
        if not scene.instance.alive():
            raise GuestDied(
                "the guest ended while its power was measured", hint="give it a command that goes on"
            )
        taken = (ended - began) / 1e9
        yield _reading("power", ready, after, "package", taken)
        yield _reading("dram_power", ready, after, "dram", taken)


def _look() -> host.EnergyCounters | Unavailable:
    try:
        return host.energy_counters()
    except Unavailable as reason:
        return reason


def _reading(
    quantity: str,
    before: host.EnergyCounters | Unavailable,
    after: host.EnergyCounters | Unavailable,
    name: str,
    per: float,
) -> Reading | Absent:
    for one in (before, after):
        if isinstance(one, Unavailable):
            return Absent(quantity, one.what)
    assert not isinstance(before, Unavailable)
    assert not isinstance(after, Unavailable)
    used = host.joules(before, after, name)
    return Absent(quantity, used.what) if isinstance(used, Unavailable) else Reading(quantity, used / per)
