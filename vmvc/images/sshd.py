"""A port and the cache's keys -> the part of an initramfs that lets commands in by SSH.

The server is vmvc's own and lives beside the root file system, not in it: the root stays the same one for all
backends, and needs no SSH server, shell or user. A command enters the root as one of the serial channel does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from vmvc.images import cache, cpio
from vmvc.images.archive import file, folder, link
from vmvc.images.dropbear import LOADER, dropbear
from vmvc.images.keys import ssh_keys

_HOME: Final = "vmvc/ssh"
_ROOM: Final = "/run/vmvc/room"
"""Where the init puts a copy of itself, before systemd takes over: see ``guest/init.sh``."""
_UNIT: Final = """\
[Unit]
Description=Commands by SSH

[Service]
ExecStart=/vmvc/ssh-serve
RootDirectory={room}
MountAPIVFS=yes
KillSignal=SIGKILL
"""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an initramfs; ``digest`` is of all but the keys, ``secret`` of the keys."""

    content: bytes
    digest: str
    secret: str
    version: str


def part(port: int) -> Part:
    """Return the part that answers at that port of the guest.

    Raises: ImageError.
    """
    server, own = dropbear(), ssh_keys()
    unit = _UNIT.format(room=_ROOM)
    units = "vmvc/run/systemd/system"
    items = [
        file("etc/passwd", f"root:x:0:0:root:/{_HOME}:/bin/sh\n"),
        file("etc/group", "root:x:0:\n"),
        folder(_HOME, 0o700),
        folder(f"{_HOME}/.ssh", 0o700),
        file(f"{_HOME}/.ssh/authorized_keys", own.public, 0o600),
        file(f"{_HOME}/host", own.host, 0o600),
        file(f"{_HOME}/port", f"{port}\n"),
        file(f"{_HOME}/dropbear", (server.folder / "dropbear").read_bytes(), 0o755),
        file(f"lib64/{LOADER}", (server.folder / LOADER).read_bytes(), 0o755),
        *(file(f"lib/{one.name}", one.read_bytes(), 0o755) for one in server.libraries),
        file(f"{units}/vmvc-ssh.service", unit),
        link(f"{units}/multi-user.target.wants/vmvc-ssh.service", "../vmvc-ssh.service"),
    ]
    return Part(
        cpio.of_items(items), cache.digest_of(port, server.digest(), unit), own.digest(), server.version
    )
