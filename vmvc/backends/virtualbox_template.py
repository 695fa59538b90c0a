"""A guest -> the machine that VirtualBox makes of it once, by its own commands; trials get copies of it."""

from __future__ import annotations

import os
import secrets
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Final

from vmvc import owner
from vmvc.backends.virtualbox_files import Files
from vmvc.backends.virtualbox_machine import forget
from vmvc.backends.virtualbox_manage import Manage
from vmvc.backends.virtualbox_settings import GROUP, INSIDE, Template, description
from vmvc.contract import Guest, Tag
from vmvc.errors import EngineError, StepFailed
from vmvc.images import VdiBoot, cache

FORMAT: Final = 1
"""Raised whenever the same guest gives another machine."""

_HARDWARE: Final = (
    *("--chipset", "piix3", "--firmware", "bios", "--ioapic", "on", "--rtc-use-utc", "on"),
    *("--boot1", "disk", "--boot2", "none", "--boot3", "none", "--boot4", "none"),
    *("--bios-boot-menu", "disabled", "--bios-logo-display-time", "0"),
    *("--bios-logo-fade-in", "off", "--bios-logo-fade-out", "off"),
    *("--graphicscontroller", "vboxvga", "--vram", "8", "--audio-enabled", "off", "--mouse", "ps2"),
    *("--nic1", "nat", "--nictype1", "virtio", "--uart1", "0x3F8", "4", "--uart2", "0x2F8", "3"),
)
"""As little as boots: what is not there costs nothing."""


def template(manage: Manage, version: str, guest: Guest, boot: VdiBoot) -> Template:
    """Return the machine of a guest, made where it is not in the cache.

    Raises: EngineError where VirtualBox refuses it; ImageError.
    """
    parts = [one.identity.hex for one in (boot.disk, boot.medium) if one is not None]
    ports = ",".join(map(str, guest.forwarded))
    key = cache.digest_of(
        FORMAT, version, boot.digest, parts, guest.made.cpus, guest.made.memory, ports, _HARDWARE
    )
    folder = cache.once(
        boot.folder / f"virtualbox-{key[:16]}", lambda path: _keep(path, _made(manage, guest, boot))
    )
    overlays = {path.stem: path.read_bytes() for path in folder.glob("*.vdi")}
    return Template((folder / "settings").read_bytes(), overlays)


def _keep(folder: Path, made: Template) -> None:
    folder.mkdir(parents=True)
    (folder / "settings").write_bytes(made.settings)
    for name, content in made.overlays.items():
        (folder / f"{name}.vdi").write_bytes(content)


def _made(manage: Manage, guest: Guest, boot: VdiBoot) -> Template:
    tag = Tag(f"rehearsal-{secrets.token_hex(4)}", 0, owner.current())
    files, identity = Files(tag), str(uuid.uuid4())
    try:
        files.note(identity)
        _define(manage, tag, identity, guest, boot, files)
        settings = files.folder / GROUP.strip("/") / tag.name / f"{tag.name}.vbox"
        return Template(
            settings.read_bytes(), {name: files.overlay(name).read_bytes() for name in boot.disks}
        )
    except StepFailed as error:
        raise EngineError(error.what, hint=error.hint) from error
    finally:
        forget(manage, identity)
        _close(manage, files, boot)
        files.remove()


def _define(manage: Manage, tag: Tag, identity: str, guest: Guest, boot: VdiBoot, files: Files) -> None:
    kind = "Linux_64" if boot.medium is not None else "Other_64"
    ports = [f"port{port},tcp,127.0.0.1,{port},{INSIDE},{port}" for port in guest.forwarded]
    manage.run(
        *("createvm", "--name", tag.name, "--uuid", identity, "--ostype", kind, "--groups", GROUP),
        *("--basefolder", files.folder, "--register"),
        doing="make a machine",
    )
    manage.run(
        *("modifyvm", identity, "--description", description(tag), "--cpus", str(guest.made.cpus)),
        *("--memory", str(guest.made.memory >> 20), *_HARDWARE),
        *("--uartmode1", "client", _nowhere("console"), "--uartmode2", "client", _nowhere("channel")),
        *(word for port in ports for word in ("--natpf1", port)),
        doing="set up the machine",
    )
    for name, disk in boot.disks.items():
        manage.run(
            *("createmedium", "disk", "--filename", files.overlay(name), "--format", "VDI"),
            *("--diffparent", disk.path),
            doing="make a differencing disk",
        )
        bus = "ide" if name == "boot" else "sata" if boot.medium is None else "virtio-scsi"
        _attach(manage, identity, name, bus, files.overlay(name))


def _attach(manage: Manage, identity: str, name: str, bus: str, path: Path) -> None:
    ports: tuple[str, ...] = () if bus == "ide" else ("--portcount", "1")
    bootable = "off" if bus == "virtio-scsi" else "on"
    manage.run(
        *("storagectl", identity, "--name", name, "--add", bus, *ports, "--bootable", bootable),
        doing=f"give the machine a bus for disks ({bus})",
    )
    manage.run(
        *("storageattach", identity, "--storagectl", name, "--port", "0", "--device", "0"),
        *("--type", "hdd", "--medium", path),
        doing="attach the disk",
    )


def _close(manage: Manage, files: Files, boot: VdiBoot) -> None:
    """Have VirtualBox know none of the disks; one that was attached went with its machine."""
    known = manage.run("list", "hdds", doing="list its disks")
    for name, disk in boot.disks.items():
        for path in (files.overlay(name), disk.path):
            # Another process may make a machine of the same disk just now.
            with suppress(StepFailed):
                if str(path) in known:
                    manage.run("closemedium", "disk", path, doing="let go of the disk")


def _nowhere(name: str) -> str:
    """Return a path that stands for a machine's own."""
    return rf"\\.\pipe\vmvc-{name}" if os.name == "nt" else f"/nowhere/{name}"
