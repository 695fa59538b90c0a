"""The instants of a trial's beginning -> how long the instance took to each of them."""

from __future__ import annotations

from collections.abc import Iterator

from vmvc.contract import IMAGE_EVENTS, Absent, Metric, Observes, Quantity, Reading, Scene
from vmvc.metrics.span import span


class Startup(Metric):
    """How long it takes from asking for an instance to each instant until it is ready.

    The first four count from the same instant, ``requested``, just before the backend is asked to create the
    instance, so they can be subtracted from one another. What is slow and done once (pulling, building) has
    happened before; ``image`` is the time of that where each trial does it anew.
    """

    name = "startup"
    says = "seconds from asking for an instance until it is created, started, prints and is ready"
    observes = Observes.EVENTS
    quantities = (
        Quantity(
            "created", "s", "lower", "Time from the request until the platform has defined the instance."
        ),
        Quantity(
            "started",
            "s",
            "lower",
            "Time from the request until the platform has accepted the start; nothing need answer yet.",
        ),
        Quantity("console", "s", "lower", "Time from the request until the guest's first printed byte."),
        Quantity(
            "ready",
            "s",
            "lower",
            "Time from the request until the probe succeeded (late by its resolution at most).",
        ),
        Quantity(
            "image",
            "s",
            "lower",
            "Time to have the image again where it was removed (`trials.image: absent`), before the request.",
        ),
    )

    def observe(self, scene: Scene) -> Iterator[Reading | Absent]:
        for quantity in self.quantities[:-1]:
            yield span(scene, quantity.name, "requested", quantity.name)
        yield span(scene, "image", *IMAGE_EVENTS)
