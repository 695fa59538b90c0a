"""A container's first process -> what this host shows of it: life, processes, cgroup, layers on disk."""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from vmvc.backends import proc
from vmvc.backends.storage import Footprint, footprint
from vmvc.contract import DiskUsage, Processes
from vmvc.errors import Unavailable

_ENGINES: Final = ("containerd", "conmon", "docker-proxy", "dockerd", "podman")
_ELSEWHERE: Final = "the engine's processes cannot be seen from this host (another host, a desktop's machine)"

_UNPROVEN: Final = (
    "no cgroup shows which processes are the container's: the engine is rootless on a host with version 1 of "
    "cgroups, or not on this host"
)
UNLIMITED: Final = "a rootless engine keeps no limits on a host with version 1 of cgroups"


def unlimited(info: Mapping[str, Any]) -> bool:
    """Say whether an engine takes limits and keeps none, by what it tells of itself."""
    rootless = bool(info.get("Rootless")) or "name=rootless" in (info.get("SecurityOptions") or ())
    return rootless and str(info.get("CgroupVersion") or "1") == "1"


class HostSide:
    """The first process of a running container, held by a pidfd: its number cannot come to mean another.

    Raises: Unavailable where the engine's process numbers are not this host's.
    """

    def __init__(self, container: str, pid: int) -> None:
        self.container = container
        self.pid = pid
        self._around: tuple[tuple[int, ...], tuple[int, ...]] | None = None
        if not hasattr(os, "pidfd_open"):
            raise Unavailable(_ELSEWHERE, hint="run vmvc on the engine's own Linux host")
        try:
            self._pidfd = os.pidfd_open(pid)
        except OSError as error:
            raise Unavailable(_ELSEWHERE, hint="run vmvc on the engine's own Linux host") from error
        # The container's name in the cgroup proves that this process is the engine's, not a namesake.
        try:
            membership = Path(f"/proc/{pid}/cgroup").read_text()
        except OSError:
            membership = ""
        if container not in membership:
            self.close()
            raise Unavailable(_UNPROVEN, hint="run vmvc on the engine's host, and have root run the engine")
        self.cgroup = _memory_cgroup(membership, Path("/proc/self/mountinfo").read_text())

    def alive(self) -> bool:
        """Say whether the process runs; one that has ended and was not yet waited for does not."""
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def processes(self, ports: Collection[int], engine_socket: str | None) -> Processes:
        """Return what runs in the container, what the engine keeps for it alone, and the engine itself.

        The latter two are looked for once: they are there from the start to the end of the container.

        ``ports``: host ports published for the container; ``engine_socket``: where the engine listens.
        """
        own = self._in_cgroup()
        if self._around is None:
            self._around = self._find_around(own, ports, engine_socket)
        helpers, shared = self._around
        return Processes(tuple(sorted(own)), helpers, shared)

    def _find_around(
        self, own: set[int], ports: Collection[int], engine_socket: str | None
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        table = _table()
        helpers = {pid for pid, one in table.items() if _serves(one, self.container, ports)} - own
        while more := {pid for pid, one in table.items() if one["ppid"] in helpers} - own - helpers:
            helpers |= more
        shared = _daemons(table, _listener(engine_socket)) - helpers - own
        return tuple(sorted(helpers)), tuple(sorted(shared))

    def _in_cgroup(self) -> set[int]:
        if self.cgroup is None:
            return set()
        pids: set[int] = set()
        for folder, _, _ in os.walk(self.cgroup):
            try:
                pids |= {int(pid) for pid in Path(folder, "cgroup.procs").read_text().split()}
            except OSError:
                continue  # a cgroup that ended meanwhile holds no process
        return pids


# --- processes --------------------------------------------------------------------------------------------


def _table() -> Mapping[int, dict[str, Any]]:
    """Return all processes, with the arguments of those whose names tell that they may be an engine's."""
    return {
        pid: {
            "ppid": one.parent,
            "cmdline": (proc.command(pid) if one.name.startswith(_ENGINES) else []) or [one.name],
        }
        for pid, one in proc.table().items()
    }


def _program(one: Mapping[str, Any]) -> str:
    return Path(one["cmdline"][0]).name


def _serves(one: Mapping[str, Any], container: str, ports: Collection[int]) -> bool:
    """Say whether this is the container's shim (``conmon`` under Podman) or the proxy of one of its ports."""
    program, arguments = _program(one), one["cmdline"][1:]
    if program.startswith("containerd-shim") or program == "conmon":
        return container in arguments
    if program == "docker-proxy" and "-host-port" in arguments:
        return arguments[arguments.index("-host-port") + 1] in {str(port) for port in ports}
    return False


def _daemons(table: Mapping[int, Mapping[str, Any]], listener: int | None) -> set[int]:
    """Return the engine and its containerd: those of ``listener`` where that is known, else all there are."""
    engines = {pid for pid, one in table.items() if _program(one) in ("dockerd", "podman")}
    if listener in engines:
        engines = {listener}
    if not any(_program(table[pid]) == "dockerd" for pid in engines):
        return engines
    containerds = {pid for pid, one in table.items() if _program(one) == "containerd"}
    return engines | ({pid for pid in containerds if table[pid]["ppid"] in engines} or containerds)


def _listener(path: str | None) -> int | None:
    """Return the process that opened a listening socket (under systemd that is systemd)."""
    if path is None:
        return None
    with socket.socket(socket.AF_UNIX) as asking:
        try:
            asking.connect(path)
        except OSError:
            return None
        pid, _, _ = struct.unpack("3i", asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(pid)


# --- cgroups ----------------------------------------------------------------------------------------------


def _memory_cgroup(membership: str, mountinfo: str) -> Path | None:
    """Return the folder that accounts for memory: v1's where a hierarchy has that controller, else v2's."""
    paths: dict[str, str] = {}
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        paths.update(dict.fromkeys(controllers.split(","), path))
    wanted = "memory" if "memory" in paths else ""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind == ("cgroup" if wanted else "cgroup2") and (not wanted or wanted in options.split(",")):
            root, mount = before.split(" ")[3:5]
            if wanted in paths and paths[wanted].startswith(root):
                return Path(mount, paths[wanted].removeprefix(root).lstrip("/"))
    return None


# --- disk -------------------------------------------------------------------------------------------------


def disk(inspected: Mapping[str, Any], host: HostSide | None) -> DiskUsage:
    """Count a container's storage.

    ``virtual`` is the engine's ``SizeRootFs``: bytes of all files, image and writable layer. The others are
    blocks on this host's disk. ``unique``: writable layer, the engine's folder of the container (log,
    resolv.conf ...) and its anonymous volumes, all that ``docker rm -v`` gives back. ``shared``: the image's
    layers, unpacked; not what a containerd image store keeps besides, compressed. ``allocated``: both.

    ``inspected``: the answer to an inspection with sizes.
    """
    virtual = inspected.get("SizeRootFs")
    blocks = ("allocated", "shared", "unique")
    layers = _layers(inspected, host)
    if layers is None:
        reason = "the engine does not say where its layers lie, or they are on another host"
        return DiskUsage(virtual=virtual, absent=dict.fromkeys(blocks, reason))
    own, shared = layers
    own += [Path(inspected["LogPath"] or inspected["HostsPath"]).parent]
    own += [Path(mount["Source"]) for mount in inspected["Mounts"] if mount["Type"] == "volume"]
    try:
        unique = footprint(own).blocks
        below = _image(tuple(shared)).blocks
    except OSError as error:
        reason = (
            f"blocks are counted in the engine's folders: {error.strerror}: {error.filename}; run as root"
        )
        return DiskUsage(virtual=virtual, absent=dict.fromkeys(blocks, reason))
    return DiskUsage(virtual=virtual, allocated=unique + below, shared=below, unique=unique)


def _layers(inspected: Mapping[str, Any], host: HostSide | None) -> tuple[list[Path], list[Path]] | None:
    """Return the container's own layer folders and those of its image, ``None`` where they are unknown."""
    data = (inspected.get("GraphDriver") or {}).get("Data") or {}
    if "UpperDir" not in data and host is not None:
        data = _overlay(Path(f"/proc/{host.pid}/mountinfo").read_text())
    if "UpperDir" not in data or not Path(data["UpperDir"]).is_absolute():
        return None
    lower = [Path(folder).resolve().parent for folder in data["LowerDir"].split(":")]
    mine = [folder for folder in lower if folder.name.endswith("-init")]
    return [Path(data["UpperDir"]).parent, *mine], [folder for folder in lower if folder not in mine]


def _overlay(mountinfo: str) -> Mapping[str, str]:
    """Read the layers of a root file system from the kernel, under the names that Docker gives them."""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        if before.split(" ")[4] == "/" and after.startswith("overlay "):
            options = dict(option.partition("=")[::2] for option in after.split(" ")[2].split(","))
            if "upperdir" in options and "lowerdir" in options:
                return {"UpperDir": options["upperdir"], "LowerDir": options["lowerdir"]}
    return {}


@lru_cache(maxsize=256)
def _image(layers: tuple[Path, ...]) -> Footprint:
    """Count an image's layers; they never change."""
    return footprint(layers)
