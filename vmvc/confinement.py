"""A process id -> how the host's kernel confines it: namespaces, users, seccomp, capabilities, LSM.

Source: Linux namespaces(7), user_namespaces(7), proc(5), capabilities(7).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from vmvc.errors import Unavailable

NAMESPACES: Final = ("pid", "net", "ipc", "mnt", "uts", "user", "cgroup", "time")

_APPARMOR: Final = re.compile(r"(?P<profile>.+) \((?P<mode>enforce|complain|kill|prompt|mixed)\)")
_SELINUX: Final = re.compile(r"[^:]+:[^:]+:(?P<type>[^:]+)(?::.*)?")
_UNCONFINED: Final = ("unconfined_t", "unconfined_service_t", "spc_t", "kernel_t", "init_t", "initrc_t")
"""SELinux types whose processes may do what they could without SELinux."""


class Status(NamedTuple):
    """What ``/proc/PID/status`` says.

    ``user``: the effective one. ``seccomp``: 0 none, 1 strict, 2 filter. ``no_new_privs``: 1 where ``execve``
    grants nothing more. ``capabilities``: number of effective ones, in the process's user namespace.
    """

    user: int
    seccomp: int | Unavailable
    no_new_privs: int | Unavailable
    capabilities: int | Unavailable


def own_namespaces(pid: int, proc: Path = Path("/proc")) -> Mapping[str, bool | Unavailable]:
    """Say of each namespace whether the process is in another one than the host, or why that is not known.

    The host's are those of its process 1, or of this very process where it may not look at that one.
    """
    return {name: _own(name, proc / str(pid) / "ns" / name, proc) for name in NAMESPACES}


def _own(name: str, link: Path, proc: Path) -> bool | Unavailable:
    if not (proc / "self" / "ns" / name).is_symlink():
        return Unavailable(f"this host has no /proc/PID/ns/{name}")
    try:
        found = link.readlink()
    except PermissionError:
        return Unavailable(
            "seeing the namespaces of another user's process needs root or CAP_SYS_PTRACE",
            hint="run vmvc as root",
        )
    except OSError as error:
        return Unavailable(f"{link} cannot be read: {error.strerror}")
    try:
        host = (proc / "1" / "ns" / name).readlink()
    except OSError:
        host = (proc / "self" / "ns" / name).readlink()
    return found != host


def root_is(pid: int, proc: Path = Path("/proc")) -> int | Unavailable | None:
    """Return the host's user that is root for this process, ``None`` where its root is nobody on the host."""
    path = proc / str(pid) / "uid_map"
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        return Unavailable(f"{path} cannot be read: {error.strerror}")
    for line in lines:
        inside, outside, length = map(int, line.split())
        if inside == 0 and length > 0:
            return outside
    return None


def status(pid: int, proc: Path = Path("/proc")) -> Status | Unavailable:
    """Return what the kernel says of the process."""
    path = proc / str(pid) / "status"
    try:
        fields = dict(re.findall(r"^(\w+):\s*(.*)$", path.read_text(), re.MULTILINE))
    except OSError as error:
        return Unavailable(f"{path} cannot be read: {error.strerror}")

    def number(name: str, base: int = 10) -> int | Unavailable:
        if name not in fields:
            return Unavailable(f"this host's /proc/PID/status has no '{name}'")
        return int(fields[name], base)

    held = number("CapEff", 16)
    return Status(
        user=int(fields["Uid"].split()[1]),
        seccomp=number("Seccomp"),
        no_new_privs=number("NoNewPrivs"),
        capabilities=held if isinstance(held, Unavailable) else held.bit_count(),
    )


def confined(pid: int, proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> bool | Unavailable:
    """Say whether AppArmor or SELinux confines the process; a profile that only complains does not."""
    path = proc / str(pid) / "attr" / "current"
    try:
        label = path.read_bytes().decode(errors="replace").strip("\0\n ")
    except (ProcessLookupError, PermissionError) as error:
        return Unavailable(f"{path} cannot be read: {error.strerror}")
    except OSError as error:
        if not path.parent.parent.exists():
            return Unavailable(f"{path} cannot be read: {error.strerror}")
        return False  # EINVAL, or no such file: no security module of this kernel labels processes.
    if label in ("", "unconfined"):
        return False
    if found := _APPARMOR.fullmatch(label):
        return found["profile"] != "unconfined" and found["mode"] in ("enforce", "kill")
    if found := _SELINUX.fullmatch(label):
        return found["type"] not in _UNCONFINED and _enforcing(sys)
    return Unavailable(f"the label '{label}' is neither AppArmor's nor SELinux's")


def _enforcing(sys: Path) -> bool:
    try:
        return (sys / "fs/selinux/enforce").read_text().strip() == "1"
    except OSError:
        return False
