"""A ready instance -> facts on what stands between its guest and the host; facts, not performance.

Three questions, each asked where the answer is. Is it one kernel? Guest and host show their boot id, which a
kernel draws at every boot: equal ids are one kernel, while equal versions need not be; one that shows no id
and another version is not the host's. How does the host's
kernel confine it? By namespaces, users, seccomp, capabilities and LSM of the process that carries the guest:
a container's first process, a machine's hypervisor process. What does the guest see? Devices, writable files
of the kernel, a hypervisor: asked inside, by a few short commands.

A guest with a kernel of its own shares no namespace with the host, whatever those of its hypervisor are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from vmvc import confinement, host
from vmvc.contract import Absent, Instance, Metric, Observes, Quantity, Reading, Scene
from vmvc.errors import Unavailable
from vmvc.metrics.inside import ask

Fact = int | Unavailable

ASK: Final = 30.0
"""Seconds that one command in the guest may take."""

SYS_FILES: Final = (
    "/sys/kernel/uevent_helper",
    "/sys/kernel/profiling",
    "/sys/kernel/kexec_crash_size",
    "/sys/kernel/mm/ksm/run",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/kernel/rcu_expedited",
    "/sys/module/printk/parameters/time",
    "/sys/bus/pci/rescan",
    "/sys/devices/system/cpu/cpu1/online",
    "/sys/fs/cgroup/memory/cgroup.procs",
    "/sys/fs/cgroup/cgroup.procs",
    "/sys/power/state",
)
PROC_FILES: Final = (
    "/proc/sysrq-trigger",
    "/proc/irq/default_smp_affinity",
    "/proc/sys/fs/binfmt_misc/register",
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/dmesg_restrict",
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/panic",
    "/proc/sys/kernel/randomize_va_space",
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/sys/vm/drop_caches",
    "/proc/sys/vm/overcommit_memory",
)

_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"
_VERSION: Final = "/proc/version"
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Opened and closed, never written. `-w` of busybox only looks at modes, which a read-only mount overrules; a
# masked file is /dev/null in its place: writable, and no file.
_WRITABLE: Final = 'for path; do if [ -f "$path" ] && true >>"$path"; then echo "$path"; fi; done 2>/dev/null'

_APART: Final = {
    "pid": ("process numbers", "a PID namespace"),
    "net": ("network interfaces and ports", "a network namespace"),
    "ipc": ("System V IPC objects and POSIX message queues", "an IPC namespace"),
    "mnt": ("mounts", "a mount namespace"),
    "uts": ("host and domain names", "a UTS namespace"),
    "user": ("user numbers and capabilities", "a user namespace"),
    "cgroup": ("cgroup paths", "a cgroup namespace"),
    "time": ("monotonic and boot-time clocks", "a time namespace"),
}
_CARRIER: Final = "the process that carries the guest on the host (a machine's hypervisor process)"


class Isolation(Metric):
    """What stands between guest and host, as far as looking proves it; nothing is written or attacked."""

    name = "isolation"
    says = (
        "facts: kernel shared or not, namespaces, users, seccomp, capabilities, LSM, devices, writable files"
    )
    needs = "a way into the guest for commands"
    observes = Observes.READY
    runs_inside = True
    quantities = (
        Quantity(
            "shares_kernel",
            "1",
            "lower",
            "1 where guest and host run one kernel, proved by equal boot ids; 0 where the guest has its own.",
        ),
        *(
            Quantity(
                f"{name}_ns",
                "1",
                "higher",
                f"1 where the guest's {what} are not the host's, by {how} or a kernel of its own; else 0.",
            )
            for name, (what, how) in _APART.items()
        ),
        Quantity(
            "user_mapped",
            "1",
            "higher",
            "1 where the guest's root is not root on the host, by user map or the hypervisor's user; else 0.",
        ),
        Quantity("seccomp", "1", "higher", f"Seccomp mode (0 none, 1 strict, 2 filter) of {_CARRIER}."),
        Quantity("no_new_privs", "1", "higher", f"1 where no_new_privs is set for {_CARRIER}; else 0."),
        Quantity("capabilities", "1", "lower", f"Number of effective capabilities of {_CARRIER}."),
        Quantity("lsm", "1", "higher", f"1 where AppArmor or SELinux confines {_CARRIER}; else 0."),
        Quantity("devices", "1", "lower", "Number of device nodes that the guest sees below /dev."),
        Quantity(
            "writable_sys",
            "1",
            "lower",
            f"Of {len(SYS_FILES)} files below /sys that steer the guest's kernel, those it can write to.",
        ),
        Quantity(
            "writable_proc",
            "1",
            "lower",
            f"Of {len(PROC_FILES)} files below /proc that steer the guest's kernel, those it can write to.",
        ),
        Quantity(
            "hypervisor",
            "1",
            "neutral",
            "1 where the CPU flags that the guest sees tell of a hypervisor, be it the host's own; else 0.",
        ),
    )

    def observe(self, scene: Scene) -> Iterator[Reading | Absent]:
        """Look from both sides.

        Raises: GuestDied.
        """
        facts = _facts(scene.instance, min(ASK, scene.timeout))
        for name in (quantity.name for quantity in self.quantities):
            fact = facts[name]
            if isinstance(fact, Unavailable):
                yield Absent(name, fact.what)
            else:
                yield Reading(name, fact)


def _facts(instance: Instance, timeout: float) -> Mapping[str, Fact]:
    carrier = _carrier(instance)
    shared = _shares_kernel(ask(instance, ["cat", _BOOT_ID], timeout), carrier)
    if isinstance(shared, Unavailable) and not isinstance(carrier, Unavailable):
        shared = _another_kernel(ask(instance, ["cat", _VERSION], timeout), shared)
    return {
        "shares_kernel": shared,
        **_from_the_host(carrier, shared),
        "devices": _lines(
            ask(instance, ["find", "/dev", "(", "-type", "b", "-o", "-type", "c", ")"], timeout)
        ),
        "writable_sys": _lines(ask(instance, _may_write(SYS_FILES), timeout)),
        "writable_proc": _lines(ask(instance, _may_write(PROC_FILES), timeout)),
        "hypervisor": hypervisor(ask(instance, ["cat", "/proc/cpuinfo"], timeout)),
    }


# --- one kernel or two ------------------------------------------------------------------------------------


def _shares_kernel(said: str | Unavailable, carrier: int | Unavailable) -> Fact:
    """Compare boot ids. Unequal ones tell of a kernel of its own only where the guest runs on this host."""
    if isinstance(said, Unavailable):
        return said
    if not _UUID.fullmatch(said.strip()):
        return Unavailable("the guest shows no boot id of its kernel")
    mine = host.boot_id()
    if not mine:
        return Unavailable("this host shows no boot id of its kernel")
    if said.strip() == mine:
        return 1
    return carrier if isinstance(carrier, Unavailable) else 0


def _another_kernel(said: str | Unavailable, why: Unavailable) -> Fact:
    """Tell a kernel that shows no boot id by its version: another one is another kernel's."""
    with suppress(OSError):
        mine = Path(_VERSION).read_text().strip()
        if not isinstance(said, Unavailable) and said.strip() and said.strip() != mine:
            return 0
    return why


# --- on the host's side -----------------------------------------------------------------------------------


def _carrier(instance: Instance) -> int | Unavailable:
    """Return the process that carries the guest: the oldest of its own, which started the others."""
    try:
        pids = instance.processes().own
    except Unavailable as reason:
        return reason
    born: list[tuple[float, int]] = []
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            born.append((psutil.Process(pid).create_time(), pid))
    return min(born)[1] if born else Unavailable("the instance shows no process of its own")


def _from_the_host(carrier: int | Unavailable, shared: Fact) -> Mapping[str, Fact]:
    if isinstance(carrier, Unavailable):
        names = ("user_mapped", "seccomp", "no_new_privs", "capabilities", "lsm")
        apart = {f"{name}_ns": _apart(carrier, shared) for name in confinement.NAMESPACES}
        return {**apart, **dict.fromkeys(names, carrier)}
    return confinement_of(carrier, shared)


def confinement_of(pid: int, shared: Fact) -> Mapping[str, Fact]:
    """Return the facts on the process that carries a guest; ``shared``: whether their kernel is one."""
    status = confinement.status(pid)
    known: Mapping[str, Fact]
    if isinstance(status, Unavailable):
        known = dict.fromkeys(("user_mapped", "seccomp", "no_new_privs", "capabilities"), status)
    else:
        known = {
            "user_mapped": _user_mapped(confinement.root_is(pid), status.user, shared),
            "seccomp": status.seccomp,
            "no_new_privs": status.no_new_privs,
            "capabilities": status.capabilities,
        }
    namespaces, lsm = confinement.own_namespaces(pid), confinement.confined(pid)
    return {
        **{f"{name}_ns": _apart(own, shared) for name, own in namespaces.items()},
        **known,
        "lsm": lsm if isinstance(lsm, Unavailable) else int(lsm),
    }


def _apart(own: bool | Unavailable, shared: Fact) -> Fact:
    """Join what is known of kernel and namespace; a namespace of its own is enough, and so is a kernel."""
    if shared == 0 or own is True:
        return 1
    if isinstance(own, Unavailable):
        return own
    if isinstance(shared, Unavailable):
        return Unavailable(
            f"its process is in the host's namespace, and its kernel is not known: {shared.what}"
        )
    return 0


def _user_mapped(root: int | Unavailable | None, user: int, shared: Fact) -> Fact:
    """Say who the guest's root is on the host: by the map on one kernel, else who its hypervisor runs as."""
    if isinstance(root, Unavailable):
        return root
    by_map, by_user = int(root != 0), int(user != 0)
    if isinstance(shared, Unavailable):
        if by_map == by_user:
            return by_map
        return Unavailable(f"whose user decides depends on its kernel, which is not known: {shared.what}")
    return by_map if shared else by_user


# --- in the guest -----------------------------------------------------------------------------------------


def _may_write(paths: Iterable[str]) -> Sequence[str]:
    return ["sh", "-c", _WRITABLE, "sh", *paths]


def _lines(said: str | Unavailable) -> Fact:
    return said if isinstance(said, Unavailable) else len(said.splitlines())


def hypervisor(cpuinfo: str | Unavailable) -> Fact:
    """Read the flag that an x86 CPU shows to whoever runs on a hypervisor."""
    if isinstance(cpuinfo, Unavailable):
        return cpuinfo
    flags = re.search(r"^flags\s*:(.*)$", cpuinfo, re.MULTILINE)
    if flags is None:
        return Unavailable("this CPU shows no flag that tells of a hypervisor")
    return int("hypervisor" in flags[1].split())
