"""A ready, settled instance -> its memory by every name that the field uses, each with its meaning."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from pydantic import Field

from vmvc import cgroups, host
from vmvc.contract import (
    Absent,
    Finding,
    Instance,
    Metric,
    Observation,
    Observes,
    Options,
    Quantity,
    Reading,
    Scene,
    Series,
    Severity,
)
from vmvc.errors import GuestDied, Unavailable
from vmvc.metrics.memory_figures import CHARGED, DROP, GUEST, OTHERS, OWN, Figures, guest_used, look
from vmvc.metrics.sampling import Sample
from vmvc.units import Duration, show_bytes

ASKED_WITHIN: Final = 20.0
"""Seconds for the guest's own answer; one that has no agent never gives it."""
_COST: Final = Quantity(
    "look_cpu", "s", "lower", "CPU time that one look at all these figures cost vmvc itself."
)
_CHARGED_AHEAD: Final = ("cgroup_current", "cgroup_peak")
_UNSEEN: Final = 0.25
"""Share of the host's drop that processes must leave open to be worth a finding: noise is less."""


class MemoryOptions(Options):
    """Options of the metric."""

    settle: Duration = Field(
        default=10.0,
        description="Time from ready until memory is looked at, so that the guest has calmed down.",
    )
    sample: Sample | None = Field(
        default=None,
        description="Look again and again from then on, `{every: 1s, for: 60s}`: the looks are in "
        "`series-memory.csv`, and the quantities are those of the first one.",
    )


class Memory(Metric):
    """What an instance takes of the host's memory, `settle` after it was ready.

    There is no one figure. Process figures miss what the kernel holds for the guest, and pages of hugetlbfs;
    cgroup figures miss helpers outside the cgroup and count shared pages to whoever touched them first; the
    host's drop has it all, and the host's own noise. The guest is asked last, since asking takes memory.
    """

    name = "memory"
    says = "bytes of the host's memory: by process, by cgroup, by the guest, and by what the host has less"
    needs = "a Linux host; root, for other users' processes; a way into a machine, for its own account"
    observes = Observes.READY
    options_model = MemoryOptions
    options: MemoryOptions
    quantities = (*OWN, *OTHERS, *CHARGED, GUEST, DROP, _COST)

    def seconds(self) -> float:
        return self.options.settle + (self.options.sample.for_ if self.options.sample else 0.0)

    def before(self) -> int:
        """Return the host's available memory."""
        return host.mem_available()

    def observe(self, scene: Scene) -> Iterator[Observation]:
        """Look at everything at once, ``settle`` seconds after ready, then report.

        Raises: GuestDied where the guest did not live until the end of the look.
        """
        now = scene.clock.now()
        ready = scene.events["ready"].at if "ready" in scene.events else now
        rest = self.options.settle - (now - ready) / 1e9
        if rest > 0:
            scene.clock.sleep(rest)
        _must_live(scene.instance)
        began = time.thread_time()
        figures = look(scene.instance, scene.before)
        cost = time.thread_time() - began
        _must_live(scene.instance)
        figures = {**figures, "guest_used": guest_used(scene.instance, min(scene.timeout, ASKED_WITHIN))}
        for name in (quantity.name for quantity in self.quantities if quantity is not _COST):
            figure = figures[name]
            if isinstance(figure, Unavailable):
                yield Absent(name, figure.what)
            else:
                yield Reading(name, figure, cgroups.slack() if name in _CHARGED_AHEAD else None)
        if all(isinstance(one, Unavailable) for one in figures.values()):
            yield Absent(_COST.name, "nothing could be looked at")
        else:
            yield Reading(_COST.name, cost)
        yield from _merging()
        if scene.instance.hides_memory:
            yield from _unseen(figures)
        if self.options.sample is not None:
            yield _sampled(scene, self.options.sample, ready)


def _sampled(scene: Scene, sample: Sample, ready: int) -> Series:
    """Look again and again; a guest that ends meanwhile ends the series.

    Raises: GuestDied.
    """
    known = {quantity.name: quantity.unit for quantity in (*OWN, *CHARGED, DROP, _COST)}
    rows = []
    for _ in sample.moments(scene.clock):
        _must_live(scene.instance)
        at, began = scene.clock.now(), time.thread_time()
        figures: Figures = look(scene.instance, scene.before)
        row = {name: float(one) for name, one in figures.items() if name in known and isinstance(one, int)}
        rows.append({"at": (at - ready) / 1e9, **row, _COST.name: time.thread_time() - began})
    _must_live(scene.instance)
    return Series({"at": "s", **known}, rows)


def _unseen(figures: Figures) -> Iterator[Finding]:
    """Say where the processes do not account for what the host has less."""
    drop, seen = figures["host_drop"], figures["pss"]
    if isinstance(seen, Unavailable):
        seen = figures["rss"]
    if isinstance(drop, Unavailable) or isinstance(seen, Unavailable) or drop - seen <= _UNSEEN * drop:
        return
    yield Finding(
        "memory.not-in-processes",
        Severity.WARNING,
        f"the host has {show_bytes(drop)} less, and the instance's processes account for {show_bytes(seen)}: "
        "the driver holds memory of the guest that no process shows",
        "compare memory.host_drop with other backends, not the figures of processes",
    )


def _merging() -> Iterator[Finding]:
    """Say that the kernel merges equal pages, which makes a page of several guests count once."""
    facts = host.ksm()
    if facts.get("run") == 1:
        yield Finding(
            "memory.ksm",
            Severity.WARNING,
            f"KSM merged pages meanwhile: {facts.get('pages_sharing', 'an unknown number')} share "
            f"{facts.get('pages_shared', 'others')}, after {facts.get('full_scans', 'some')} full scans",
            "echo 2 >/sys/kernel/mm/ksm/run, or say that it ran where you compare memory",
        )


def _must_live(instance: Instance) -> None:
    if not instance.alive():
        raise GuestDied(
            "the guest ended after it was ready, before its memory was measured",
            hint="give it a command that goes on, or a shorter metrics.memory.settle",
        )
