"""What an instance costs and what it gives, as recorded."""

from __future__ import annotations

from typing import Final

from vmvc import confinement
from vmvc.explain_question import Question, joined
from vmvc.recorded import Recorded


def _portability(one: Recorded) -> str:
    """Say what the guest needs elsewhere, as far as it is recorded: it is not tried."""
    platform, cpu = one.of_guest("image_platform"), one.of_host("architecture")
    match one.isolation:
        case "none":
            return f"files for {cpu} and a Linux kernel; no limit, no image format" if cpu else ""
        case "container":
            return f"an engine for OCI images and a Linux kernel for {platform or cpu}" if platform else ""
        case "vm":
            kernel = one.of_guest("kernel_package")
            brings = f"; brings its kernel {kernel}" if kernel else "; brings its kernel on its disk"
            return f"a hypervisor for {cpu} machines{brings}" if cpu else ""
    return ""


def _security(one: Recorded) -> str:
    shared = one.constant("isolation.shares_kernel")
    own = [one.constant(f"isolation.{name}_ns") for name in confinement.NAMESPACES]
    if shared is None or None in own:
        return ""
    seccomp, capabilities = one.constant("isolation.seccomp"), one.constant("isolation.capabilities")
    mapped, lsm = one.constant("isolation.user_mapped"), one.constant("isolation.lsm")
    return joined(
        "shares the host's kernel" if shared else "its own kernel",
        f"{sum(one == 1 for one in own)} of {len(own)} namespaces apart",
        "" if seccomp is None else f"seccomp {('off', 'strict', 'filter')[int(seccomp)]}",
        "" if capabilities is None else f"{capabilities:.0f} capabilities",
        "" if mapped is None else ("root is not" if mapped else "root is") + " root on the host",
        "" if lsm is None else "confined by an LSM" if lsm else "no LSM",
    )


COMPARISON: Final = (
    Question("start-up", "Time from request until it answers: median and 95% interval.", "startup.ready"),
    Question("memory", "Proportional share of its own processes (PSS).", "memory.pss"),
    Question("size", "Blocks on the host for it and all that it stands on.", "disk.allocated"),
    Question("size of one more", "Blocks that only this instance takes.", "disk.unique"),
    Question("density", "How many this host's memory would carry, predicted.", "density.capacity"),
    Question("density, tried", "How many ran at the same time.", "density.instances"),
    Question("portability", "What it needs elsewhere; told, not tried.", _portability),
    Question(
        "security",
        "What stands between guest and host (of a machine: its hypervisor too); nothing was attacked.",
        _security,
    ),
)
