"""A ready instance -> the bytes that it takes on the host's storage."""

from __future__ import annotations

from collections.abc import Iterator

from vmvc.contract import Absent, DiskUsage, Metric, Observes, Quantity, Reading, Scene
from vmvc.errors import Unavailable


class Disk(Metric):
    """What an instance takes on the host's storage, itself and with what it stands on."""

    name = "disk"
    says = "bytes on the host's storage: the guest's view, in use, shared with others, only this instance's"
    observes = Observes.READY
    quantities = (
        Quantity("virtual", "B", "neutral", "Size of the root file system or disk as the guest sees it."),
        Quantity(
            "allocated",
            "B",
            "lower",
            "Blocks in use on the host for the instance and all that it stands on, each counted once.",
        ),
        Quantity(
            "shared", "B", "neutral", "The part of these blocks that other instances of the image use too."
        ),
        Quantity(
            "unique", "B", "lower", "The blocks that would come back if only this instance were removed."
        ),
    )

    def observe(self, scene: Scene) -> Iterator[Reading | Absent]:
        try:
            usage = scene.instance.disk()
        except Unavailable as reason:
            usage = DiskUsage(absent={quantity.name: reason.what for quantity in self.quantities})
        for name in (quantity.name for quantity in self.quantities):
            size: int | None = getattr(usage, name)
            if size is None:
                yield Absent(name, usage.absent.get(name, "the backend cannot tell and gives no reason"))
            else:
                yield Reading(name, size)
