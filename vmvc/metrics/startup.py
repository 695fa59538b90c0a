"""The instants of a trial's beginning -> how long the instance took to each of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from vmvc.contract import IMAGE_EVENTS, Absent, Metric, Observes, Quantity, Reading, Scene
from vmvc.metrics.span import span

_IMAGE: Final = ("image", "pull")


class Startup(Metric):
    """How long it takes from asking for an instance to each instant until it is ready.

    All but two count from the same instant, ``requested``, just before the backend is asked to create the
    instance, so they can be subtracted from one another. What is slow and done once (pulling, building) has
    happened before; ``image`` and ``pull`` are the time of that where each trial does it anew.
    """

    name = "startup"
    says = "seconds from asking for an instance until it is created, started, boots, prints and is ready"
    needs = "an instance; a phase is absent where neither guest nor platform tells it"
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
        Quantity("kernel", "s", "lower", "Time from the request until the first line of the guest's kernel."),
        Quantity(
            "init", "s", "lower", "Time from the request until the guest's kernel runs its first process."
        ),
        Quantity("network", "s", "lower", "Time from the request until the guest's own interface is up."),
        Quantity(
            "exec",
            "s",
            "lower",
            "Time from the request until the guest's command is executed, wherever it runs.",
        ),
        Quantity(
            "ready",
            "s",
            "lower",
            "Time from the request until the probe succeeded (late by its resolution at most).",
        ),
        Quantity(
            "pull",
            "s",
            "lower",
            "Time of `image` where the engine pulls it from a registry; absent where it is made here.",
        ),
        Quantity(
            "image",
            "s",
            "lower",
            "Time to have the image again where it was removed (`trials.image: absent`), before the request.",
        ),
    )

    def observe(self, scene: Scene) -> Iterator[Reading | Absent]:
        for name in (one.name for one in self.quantities if one.name not in _IMAGE):
            yield span(scene, name, "requested", name)
        if "pull" in scene.notes:
            yield Absent("pull", scene.notes["pull"])
        else:
            yield span(scene, "pull", *IMAGE_EVENTS)
        yield span(scene, "image", *IMAGE_EVENTS)
