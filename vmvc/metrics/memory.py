"""A ready, settled instance -> its memory by every name that the field uses, each with its meaning."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from pydantic import Field

from vmvc import cgroups, host, smaps
from vmvc.contract import (
    Absent,
    Finding,
    Instance,
    Metric,
    Observes,
    Options,
    Quantity,
    Reading,
    Scene,
    Severity,
)
from vmvc.errors import GuestDied, Unavailable
from vmvc.units import Duration, show_bytes

_CHARGED_AHEAD: Final = ("cgroup_current", "cgroup_peak")
_UNSEEN: Final = 0.25
"""Share of the host's drop that processes must leave open to be worth a finding: noise is less."""


_QUANTITIES: Final = (
    Quantity(
        "rss",
        "B",
        "lower",
        "Resident memory of the instance's own processes; a page that several of them map counts for each.",
    ),
    Quantity(
        "pss",
        "B",
        "lower",
        "Proportional share of the own processes: a page that N processes of the host map counts as 1/N.",
    ),
    Quantity(
        "uss", "B", "lower", "Memory that one process alone maps, summed over the instance's own processes."
    ),
    Quantity(
        "helpers_pss",
        "B",
        "lower",
        "Proportional share of processes that only serve this instance (shim, proxy); 0 where it has none.",
    ),
    Quantity("helpers_rss", "B", "lower", "Resident memory of these helpers; a shared page counts for each."),
    Quantity(
        "cgroup_current",
        "B",
        "lower",
        "All that the instance's cgroup is charged for, page cache and kernel memory included.",
    ),
    Quantity("cgroup_peak", "B", "lower", "The highest charge since the instance's cgroup was made."),
    Quantity(
        "cgroup_anon",
        "B",
        "lower",
        "The cgroup's anonymous memory, which only swap could free (cgroup v1 adds the swap cache).",
    ),
    Quantity(
        "cgroup_file",
        "B",
        "neutral",
        "The cgroup's page cache, tmpfs and shared memory; a file's page is charged to who touched it first.",
    ),
    Quantity(
        "cgroup_kernel",
        "B",
        "lower",
        "Kernel memory charged to the cgroup: stacks, page tables, slabs (cgroup v1 without TCP buffers).",
    ),
    Quantity(
        "docker_stats",
        "B",
        "lower",
        "What `docker stats` prints: the cgroup's charge less its inactive page cache.",
    ),
    Quantity(
        "host_drop",
        "B",
        "lower",
        "The host's available memory before the request less that at the look; noise can make it negative.",
    ),
)


class MemoryOptions(Options):
    """Options of the metric."""

    settle: Duration = Field(
        default=10.0,
        description="Time from ready until memory is looked at, so that the guest has calmed down.",
    )


class Memory(Metric):
    """What an instance takes of the host's memory, `settle` after it was ready.

    There is no one figure. Process figures miss what the kernel holds for the guest, and pages of hugetlbfs;
    cgroup figures miss helpers outside the cgroup and count shared pages to whoever touched them first; the
    host's drop has it all, and the host's own noise.
    """

    name = "memory"
    says = "bytes of the host's memory: by process, by cgroup, and by what the host has less"
    observes = Observes.READY
    options_model = MemoryOptions
    options: MemoryOptions
    quantities = _QUANTITIES

    def seconds(self) -> float:
        return self.options.settle

    def before(self) -> int:
        """Return the host's available memory."""
        return host.mem_available()

    def observe(self, scene: Scene) -> Iterator[Reading | Absent | Finding]:
        """Look at everything at once, ``settle`` seconds after ready, then report.

        Raises: GuestDied where the guest did not live until the end of the look.
        """
        now = scene.clock.now()
        ready = scene.events["ready"].at if "ready" in scene.events else now
        rest = self.options.settle - (now - ready) / 1e9
        if rest > 0:
            scene.clock.sleep(rest)
        _must_live(scene.instance)
        figures = _look(scene)
        _must_live(scene.instance)
        for name in (quantity.name for quantity in self.quantities):
            figure = figures[name]
            if isinstance(figure, Unavailable):
                yield Absent(name, figure.what)
            else:
                yield Reading(name, figure, cgroups.slack() if name in _CHARGED_AHEAD else None)
        if scene.instance.hides_memory:
            yield from _compared(figures)


def _look(scene: Scene) -> Mapping[str, int | Unavailable]:
    """Return every quantity; the host first, since looking at the rest costs memory too."""
    available = host.mem_available()
    charged = _charged(scene.instance)
    try:
        pids = scene.instance.processes()
    except Unavailable as elsewhere:
        own = helpers = _without(smaps.FIGURES, elsewhere)
        drop: int | Unavailable = elsewhere
    else:
        own, helpers = smaps.memory(pids.own), smaps.memory(pids.helpers)
        if not pids.own:
            own = _without(smaps.FIGURES, Unavailable("the instance shows no process of its own"))
        drop = _drop(scene.before, available)
    return {
        "rss": own["rss"],
        "pss": own["pss"],
        "uss": own["uss"],
        "helpers_pss": helpers["pss"],
        "helpers_rss": helpers["rss"],
        "cgroup_current": charged["current"],
        "cgroup_peak": charged["peak"],
        "cgroup_anon": charged["anon"],
        "cgroup_file": charged["file"],
        "cgroup_kernel": charged["kernel"],
        "docker_stats": _docker_stats(charged["current"], charged["inactive"]),
        "host_drop": drop,
    }


def _compared(figures: Mapping[str, int | Unavailable]) -> Iterator[Finding]:
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


def _charged(instance: Instance) -> Mapping[str, int | Unavailable]:
    try:
        folder = instance.cgroup()
    except Unavailable as reason:
        return _without(cgroups.FIGURES, reason)
    if folder is None:
        return _without(cgroups.FIGURES, Unavailable("the instance has no memory cgroup of its own"))
    return cgroups.memory(folder)


def _without(figures: Iterable[str], reason: Unavailable) -> Mapping[str, int | Unavailable]:
    return dict.fromkeys(figures, reason)


def _docker_stats(current: int | Unavailable, inactive: int | Unavailable) -> int | Unavailable:
    """Compute what the command line shows.

    Source: docker/cli, cli/command/container/stats_helpers.go, calculateMemUsageUnixNoCache.
    """
    if isinstance(current, Unavailable):
        return current
    if isinstance(inactive, Unavailable):
        return inactive
    return current - inactive if inactive < current else current


def _drop(before: int | None, available: int) -> int | Unavailable:
    if before is None:
        return Unavailable("nobody looked at the host before the request")
    return before - available


def _must_live(instance: Instance) -> None:
    if not instance.alive():
        raise GuestDied(
            "the guest ended after it was ready, before its memory was measured",
            hint="give it a command that goes on, or a shorter metrics.memory.settle",
        )
