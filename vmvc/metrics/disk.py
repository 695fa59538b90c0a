"""A ready instance -> the bytes that it takes on the host's storage, and how they grow while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydantic import Field

from vmvc.contract import (
    Absent,
    DiskUsage,
    Instance,
    Metric,
    Observation,
    Observes,
    Options,
    Quantity,
    Reading,
    Scene,
    Series,
)
from vmvc.errors import GuestDied, Unavailable
from vmvc.metrics.sampling import Sample

_USED: Final = (
    Quantity("virtual", "B", "neutral", "Size of the root file system or disk as the guest sees it."),
    Quantity(
        "allocated",
        "B",
        "lower",
        "Blocks in use on the host for the instance and all that it stands on, each counted once.",
    ),
    Quantity("shared", "B", "neutral", "The part of these blocks that other instances of the image use too."),
    Quantity("unique", "B", "lower", "The blocks that would come back if only this instance were removed."),
)
_GROWTH: Final = Quantity(
    "growth", "B", "lower", "What was added to `unique` from the first look of `sample` to the last."
)


class DiskOptions(Options):
    """Options of the metric."""

    sample: Sample | None = Field(
        default=None,
        description="Look again and again, `{every: 1s, for: 60s}`: the looks are in `series-disk.csv`, the "
        "quantities are those of the first one, and `growth` is what was added by the last.",
    )


class Disk(Metric):
    """What an instance takes on the host's storage, itself and with what it stands on."""

    name = "disk"
    says = "bytes on the host's storage: the guest's view, in use, shared with others, only this instance's"
    needs = "storage on this host"
    observes = Observes.READY
    options_model = DiskOptions
    options: DiskOptions
    quantities = (*_USED, _GROWTH)

    def seconds(self) -> float:
        return self.options.sample.for_ if self.options.sample else 0.0

    def observe(self, scene: Scene) -> Iterator[Observation]:
        """Look once, or until the sample is over.

        Raises: GuestDied where the guest ends meanwhile.
        """
        usage = _look(scene.instance)
        for name in (quantity.name for quantity in _USED):
            size: int | None = getattr(usage, name)
            if size is None:
                yield Absent(name, usage.absent.get(name, "the backend cannot tell and gives no reason"))
            else:
                yield Reading(name, size)
        if self.options.sample is None:
            yield Absent(_GROWTH.name, "it was looked at once only: set metrics.disk.sample")
        else:
            yield from _grown(scene, self.options.sample)


def _grown(scene: Scene, sample: Sample) -> Iterator[Observation]:
    columns = {"at": "s", **{quantity.name: quantity.unit for quantity in _USED}}
    rows: list[dict[str, float]] = []
    for at in sample.moments(scene.clock):
        if not scene.instance.alive():
            raise GuestDied(
                "the guest ended while its disk was watched", hint="give it a command that goes on"
            )
        usage = _look(scene.instance)
        sizes = {name: getattr(usage, name) for name in columns if name != "at"}
        rows.append({"at": at, **{name: size for name, size in sizes.items() if size is not None}})
    first, last = rows[0].get("unique"), rows[-1].get("unique")
    if first is None or last is None:
        yield Absent(_GROWTH.name, usage.absent.get("unique", "the backend does not tell what is unique"))
    else:
        yield Reading(_GROWTH.name, last - first)
    yield Series(columns, rows)


def _look(instance: Instance) -> DiskUsage:
    try:
        return instance.disk()
    except Unavailable as reason:
        return DiskUsage(absent={quantity.name: reason.what for quantity in _USED})
