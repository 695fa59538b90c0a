"""Namespaces, cgroups, limits and union file system, as found and recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from vmvc import confinement
from vmvc.explain_question import Question, joined
from vmvc.recorded import Recorded, size


def _namespace(name: str) -> Callable[[Recorded], str]:
    def say(one: Recorded) -> str:
        own = one.constant(f"isolation.{name}_ns")
        if own is None:
            return ""
        if own and one.constant("isolation.shares_kernel") == 0:
            return "apart, by a kernel of its own"
        return "its own" if own else "the host's"

    return say


def _cgroups(one: Recorded) -> str:
    layout = one.of_host("cgroup")
    if one.isolation == "none":
        return f"none of its own; the host's are {layout}" if layout else ""
    version, driver = one.of_engine("cgroup_version"), one.of_engine("cgroup_driver")
    if version:
        return joined(
            f"v{version.removeprefix('v')}", driver and f"driver {driver}", layout and f"host {layout}"
        )
    if one.figure("memory.cgroup_current") is not None:
        return joined("its hypervisor has a cgroup", layout and f"host {layout}")
    return ""


def _limits(one: Recorded) -> str:
    cpus, memory = one.asked("cpus"), one.asked("memory")
    if cpus is None or memory is None:
        return ""
    asked = f"{cpus} CPU, {size(memory)}"
    match one.isolation:
        case "none":
            return f"none: {asked} are asked for and not held"
        case "container":
            return f"{asked}, by cgroups"
        case "vm":
            return f"{asked}, as the machine's own size"
    return ""


def _kept(one: Recorded) -> str:
    """Say what hogs received where they asked for more."""
    received, reached = one.figure("limits.cpu_received"), one.figure("limits.memory_reached")
    if received is None and reached is None:
        return ""
    killed = one.figure("limits.memory_killed")
    end = "" if killed is None else " and was killed" if killed else " and was refused more"
    pids = one.figure("limits.pids_reached")
    return joined(
        "" if received is None else f"busy loops got {received:.2f} CPU",
        "" if reached is None else f"one program got {size(reached)}{end}",
        "" if pids is None else f"{pids:.0f} processes were started",
    )


def _union(one: Recorded) -> str:
    driver = one.of_engine("storage_driver")
    if driver:
        on, store = one.of_engine("storage_filesystem"), one.of_engine("image_store")
        return joined(f"{driver}{f' on {on}' if on else ''}", store and f"image store: {store}")
    if one.isolation == "none":
        roots = {
            "overlay": "overlay over the unpacked image",
            "copy": "none: every instance copies the image",
            "host": "none: the host's own files",
        }
        return roots.get(one.of_guest("root"), "")
    xml = one.of_guest("domain_xml")
    if not xml:
        return ""
    if "<backingStore" in xml:
        return "none in the guest: each machine has a qcow2 overlay on a read-only disk"
    return "none: its root file system is in its memory (initramfs)"


def _mechanisms() -> Iterator[Question]:
    for name in confinement.NAMESPACES:
        yield Question(f"{name} namespace", "Whether it is the guest's own.", _namespace(name))
    yield Question("cgroups", "How the host's kernel accounts for it.", _cgroups)
    yield Question("limits", "What is asked for, and what holds it.", _limits)
    yield Question("limits, tried", "What hogs in the guest received that asked for more.", _kept)
    yield Question("union file system", "How instances share one image.", _union)


MECHANISMS: Final = tuple(_mechanisms())
