"""A kernel's modules, the minimal init and one command -> the initramfs that a virtual machine boots.

Parts are concatenated, as Linux allows: the init with its modules, the root file system where it is small
enough to live in memory, and what this guest runs.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from vmvc.errors import ImageError
from vmvc.images import cache, cpio
from vmvc.images.archive import Item, file, folder, link
from vmvc.images.busybox import applets
from vmvc.images.kernel import Kernel
from vmvc.images.root import Identity

SCRIPTS: Final = {
    "init": "init.sh",
    "vmvc/channel": "channel.sh",
    "vmvc/enter": "enter.sh",
    "vmvc/request": "request.sh",
    "vmvc/ssh-request": "request_ssh.sh",
    "vmvc/ssh-serve": "serve.sh",
    "vmvc/words": "words.sh",
}

COMMANDS: Final = (
    *("arping", "awk", "base64", "cat", "chown", "cp", "dd", "env", "grep", "head", "hostname", "ifconfig"),
    "insmod",
    *(
        "mkdir",
        "mkfifo",
        "mount",
        "nsenter",
        "poweroff",
        "reboot",
        "rm",
        "route",
        "setsid",
        "sh",
        "sleep",
        "switch_root",
    ),
    *("sync", "tail", "umount", "usleep"),
)
"""What the scripts need of busybox."""

MACHINE_LINES: Final = {
    "kernel": r"^\[ *[0-9]+\.[0-9]{6}\] |Linux version [0-9]",
    "init": r"vmvc: init$",
    "network": r"vmvc: network$",
    "exec": r"vmvc: exec$",
    "stopped": r"vmvc: command ended with (?P<status>[0-9A-Z]+)$",
}
"""Event -> the line by which a machine that boots this init announces it, its kernel's first among them."""
OWN_DISK_LINES: Final = {
    "kernel": MACHINE_LINES["kernel"],
    "init": r"Run /\S+ as init process|systemd\[1\]: |^INIT: version",
}
"""The same of a machine that boots a disk of one's own, where it prints any."""
OWN_DISK_SILENT: Final = dict.fromkeys(
    ("network", "exec", "stopped"), "a disk of one's own does not announce it"
)
"""Event -> why such a machine has none."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What the machine runs, as whom and where; paths are real ones in the root file system.

    ``root_devices``: where the guest may see the root file system; empty where it is in the initramfs.
    ``units``: files for /run, where systemd boots.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    identity: Identity
    workdir: str
    stop_signal: str
    root_devices: str = ""
    systemd: bool = False
    units: Sequence[Item] = ()


def scripts() -> Mapping[str, bytes]:
    """Return the minimal init: path in the initramfs -> content."""
    source = resources.files("vmvc.images") / "guest"
    return {path: (source / name).read_bytes() for path, name in SCRIPTS.items()}


def digest() -> str:
    """Return the digest of the minimal init."""
    return cache.digest_of({path: content.decode() for path, content in scripts().items()})


def base(kernel: Kernel, busybox: Path, *, shared: bool) -> bytes:
    """Return the part with the init; ``shared``: its busybox is that of the root file system in memory.

    Raises: ImageError where that busybox lacks a command.
    """
    if missing := sorted(set(COMMANDS) - set(applets(busybox))):
        raise ImageError(f"{busybox} has no {', '.join(missing)}", hint="sudo apt-get install busybox-static")
    items = [
        folder(name) for name in ("dev", "proc", "sys", "tmp", "vmvc/run", "vmvc/dev/pts", "vmvc/dev/shm")
    ]
    items.append(Item("dev/console", "device", 0o600, device=(5, 1)))
    items.append(link("vmvc/dev/fd", "/proc/self/fd"))
    items += [
        link(f"vmvc/dev/{name}", f"/proc/self/fd/{at}")
        for at, name in enumerate(("stdin", "stdout", "stderr"))
    ]
    items += [file(path, content, 0o755) for path, content in scripts().items()]
    if shared:
        items.append(link("bin", "root/bin"))
    else:
        items.append(file("bin/busybox", busybox.read_bytes(), 0o755))
        items += [link(f"bin/{name}", "busybox") for name in COMMANDS]
        items.append(folder("root"))
    for names in kernel.load_order.values():
        items += [file(f"vmvc/{name}.ko", (kernel.modules / f"{name}.ko").read_bytes()) for name in names]
    lines = (f"{driver}={shlex.quote(' '.join(names))}\n" for driver, names in kernel.load_order.items())
    items.append(file("vmvc/modules", "".join(lines)))
    return cpio.of_items(items)


def command(launch: Launch) -> bytes:
    """Return the part that says what this guest runs."""
    user = launch.identity
    root = "/proc/1/root" if launch.systemd else "/root"
    config = {
        "root": root,
        "root_devices": launch.root_devices,
        "boot": "systemd" if launch.systemd else "command",
        "workdir": launch.workdir,
        "uid": str(user.uid),
        "stop_signal": launch.stop_signal.removeprefix("SIG"),
        "search": launch.env["PATH"],
    }
    environment = (f"{name}={value}" for name, value in launch.env.items())
    run_as = [
        "/bin/busybox",
        "nsenter",
        *(("-t1", "-m") if launch.systemd else ()),
        f"-r{root}",
        f"-w{root}{launch.workdir}",
        f"-G{user.gid}",
        f"-S{user.uid}",
    ]
    items = [
        file("vmvc/config", "".join(f"{name}={shlex.quote(value)}\n" for name, value in config.items())),
        file(
            "vmvc/run-as",
            _exec(["/bin/busybox", "env", "-i", *environment])
            + b" $mark "  # a word, or none
            + shlex.join([*run_as, "--"]).encode(errors="surrogateescape")
            + b' "$program" "$@"\n',
        ),
        file("vmvc/command", b"#!/bin/busybox sh\n" + _exec(["/vmvc/enter", *launch.argv]) + b"\n", 0o755),
        *launch.units,
    ]
    return cpio.of_items(items)


def _exec(argv: Sequence[str]) -> bytes:
    """Return the line of a shell script that becomes this command; bytes that are no UTF-8 are kept."""
    return f"exec {shlex.join(argv)}".encode(errors="surrogateescape")
