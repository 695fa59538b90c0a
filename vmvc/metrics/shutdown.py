"""The instants of a trial's end -> how long the guest took to end of itself, and what it did when asked."""

from __future__ import annotations

from collections.abc import Iterator

from vmvc.contract import Absent, Metric, Observes, Quantity, Reading, Scene
from vmvc.metrics.span import span


class Shutdown(Metric):
    """How the guest ends when it is asked to; one that had to be ended by force has no times.

    What it takes is mostly the guest's own doing: a first process that ignores its stop signal costs the
    whole timeout on any platform. ``code`` tells what it did with the signal: 0 where its command handled it
    and ended well, 128 and the signal's number where it let itself be ended by it (143 for SIGTERM).
    """

    name = "shutdown"
    says = "seconds from asking an instance to stop until it has ended, and how its command ended"
    needs = "an instance that the run itself stops"
    observes = Observes.EVENTS
    quantities = (
        Quantity(
            "stopped", "s", "lower", "Time from the request to stop until the guest's command has ended."
        ),
        Quantity(
            "gone",
            "s",
            "lower",
            "Time from the request to stop until the platform says that the guest ended.",
        ),
        Quantity(
            "orderly", "1", "higher", "1 where the guest ended of itself in time; 0 where it took force."
        ),
        Quantity(
            "code",
            "1",
            "neutral",
            "Exit code of the guest's command that was asked to stop; 128 and N where signal N ended it.",
        ),
    )

    def observe(self, scene: Scene) -> Iterator[Reading | Absent]:
        yield span(scene, "stopped", "stop_requested", "stopped")
        yield span(scene, "gone", "stop_requested", "gone")
        if (ending := scene.ending) is None:
            yield from (Absent(name, "the guest was not asked to stop") for name in ("orderly", "code"))
            return
        yield Reading("orderly", int(ending.orderly))
        if ending.code is None:
            yield Absent("code", ending.reason)
        else:
            yield Reading("code", ending.code)
