"""A ready instance -> its memory by every name that the field uses: one look at all of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from vmvc import cgroups, host, smaps
from vmvc.contract import Instance, Quantity
from vmvc.errors import Unavailable
from vmvc.metrics import inside

Figures = Mapping[str, int | Unavailable]
"""Name -> bytes, or why they are not known."""

OWN: Final = (
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
)
OTHERS: Final = (
    Quantity(
        "helpers_pss",
        "B",
        "lower",
        "Proportional share of processes that only serve this instance (shim, proxy); 0 where it has none.",
    ),
    Quantity("helpers_rss", "B", "lower", "Resident memory of these helpers; a shared page counts for each."),
    Quantity(
        "shared_pss",
        "B",
        "lower",
        "Proportional share of the daemons that serve all instances: a fixed cost, in no other figure.",
    ),
)
CHARGED: Final = (
    Quantity(
        "cgroup_current",
        "B",
        "lower",
        "All that the instance's cgroup is charged for, page cache and kernel memory included: raw.",
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
        "What `docker stats` prints: the cgroup's charge (`cgroup_current`) less its inactive page cache.",
    ),
)
GUEST: Final = Quantity(
    "guest_used",
    "B",
    "lower",
    "Memory in use by the account of the guest's own kernel: its MemTotal less its MemAvailable.",
)
DROP: Final = Quantity(
    "host_drop",
    "B",
    "lower",
    "The host's available memory before the request less that at the look; noise can make it negative.",
)

_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"
_MEMORY: Final = re.compile(r"^(MemTotal|MemAvailable): +([0-9]+) kB$", re.MULTILINE)
_UUID: Final = re.compile(r"^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$", re.MULTILINE)


def look(instance: Instance, before: int | None) -> Figures:
    """Return all figures that the host has, whatever lies behind the instance.

    The host's own memory comes first, since looking at the rest costs memory too.
    """
    available = host.mem_available()
    charged = _charged(instance)
    try:
        pids = instance.processes()
    except Unavailable as elsewhere:
        own = helpers = shared = _without(smaps.FIGURES, elsewhere)
        drop: int | Unavailable = elsewhere
    else:
        own, helpers, shared = (smaps.memory(those) for those in (pids.own, pids.helpers, pids.shared))
        if not pids.own:
            own = _without(smaps.FIGURES, Unavailable("the instance shows no process of its own"))
        drop = _drop(before, available)
    return {
        **{name: own[name] for name in smaps.FIGURES},
        "helpers_pss": helpers["pss"],
        "helpers_rss": helpers["rss"],
        "shared_pss": shared["pss"],
        **{f"cgroup_{name}": charged[name] for name in ("current", "peak", "anon", "file", "kernel")},
        "docker_stats": _docker_stats(charged["current"], charged["inactive"]),
        "host_drop": drop,
    }


def guest_used(instance: Instance, timeout: float) -> int | Unavailable:
    """Ask the guest's kernel, where it has one of its own; a container would show the host's figures.

    One of which the platform says that it boots none is not asked: that would disturb it for nothing.

    Raises: GuestDied.
    """
    if none := instance.marks().absent.get("kernel"):
        return Unavailable(f"{none}, and its /proc/meminfo is the host's")
    ended = inside.run(instance, ["cat", "/proc/meminfo", _BOOT_ID], timeout)
    if isinstance(ended, Unavailable):
        return ended
    said = ended.stdout.decode(errors="replace")
    kernel = _UUID.search(said)
    if kernel is None:
        return Unavailable("the guest shows no boot id, so whose memory its /proc/meminfo tells is not known")
    if kernel[0] == host.boot_id():
        return Unavailable("guest and host run one kernel: its /proc/meminfo is the host's")
    found = {name: int(kib) * 1024 for name, kib in _MEMORY.findall(said)}
    if found.keys() != {"MemTotal", "MemAvailable"}:
        return Unavailable("the guest's /proc/meminfo has no MemTotal or no MemAvailable")
    return found["MemTotal"] - found["MemAvailable"]


def _charged(instance: Instance) -> Figures:
    try:
        folder = instance.cgroup()
    except Unavailable as reason:
        return _without(cgroups.FIGURES, reason)
    if folder is None:
        return _without(cgroups.FIGURES, Unavailable("the instance has no memory cgroup of its own"))
    return cgroups.memory(folder)


def _without(figures: Iterable[str], reason: Unavailable) -> Figures:
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
