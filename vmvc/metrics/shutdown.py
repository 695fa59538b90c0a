"""The instants of a trial's end -> how long the guest took to end of itself."""

from __future__ import annotations

from collections.abc import Iterator

from vmvc.contract import Absent, Metric, Observes, Quantity, Reading, Scene
from vmvc.metrics.span import span


class Shutdown(Metric):
    """How long the guest takes to end when it is asked to; one that had to be ended by force has no value.

    What it takes is mostly the guest's own doing: a first process that ignores its stop signal costs the
    whole timeout on any platform.
    """

    name = "shutdown"
    says = "seconds from asking an instance to stop until it has ended"
    observes = Observes.EVENTS
    quantities = (
        Quantity(
            "gone",
            "s",
            "lower",
            "Time from the request to stop until the platform says that the guest ended.",
        ),
    )

    def observe(self, scene: Scene) -> Iterator[Reading | Absent]:
        yield span(scene, "gone", "stop_requested", "gone")
