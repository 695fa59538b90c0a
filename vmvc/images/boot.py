"""A guest -> what a virtual machine boots: a kernel, its initramfs and perhaps a disk; or a disk alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from vmvc.contract import Guest, Scalar
from vmvc.errors import Fault, InputError, Unavailable
from vmvc.images import cache, cpio, disk, initramfs, sshd
from vmvc.images.archive import Tree
from vmvc.images.busybox import busybox
from vmvc.images.kernel import kernel
from vmvc.images.root import PATH, RootFs, command_of, identity, root_filesystem
from vmvc.images.systemd import files as systemd_files
from vmvc.spec import DiskImage, RecipeImage

APPEND: Final = (
    "console=ttyS0",
    "loglevel=6",
    "panic=-1",
    "reboot=t",
    "net.ifnames=0",
    "ipv6.disable_ipv6=1",
    "cryptomgr.notests",
    "tsc=reliable",
    "no_timer_check",
    "random.trust_cpu=on",
    "8250.nr_uarts=1",
    "i8042.noaux",
    "i8042.nokbd",
)
"""Kernel arguments: quick, and nothing of the kernel's work on behalf of the guest is switched off.

Of its messages the kernel prints the ``notice`` of its version, its first line, and a few others.
"""

ROOT_DEVICES: Final = "/dev/vda /dev/sda"
"""The disk as the guest sees it, a block device of virtio or of SCSI: the minimal init drives both."""

SYSTEMD: Final = ("systemd.getty_auto=no", "systemd.firstboot=no")


@dataclass(frozen=True, slots=True)
class Bootable:
    """What a virtual machine boots.

    ``kernel`` and ``initrd``: ``None`` for a disk that boots through its firmware. ``disk``: never written
    to, so overlay it; ``None`` where the root is in the initramfs. ``channel``: how commands get in.
    """

    kernel: Path | None
    initrd: Path | None
    append: str
    disk: Path | None
    disk_format: str
    channel: Literal["init", "agent", "none"]
    digest: str
    facts: Mapping[str, Scalar]


def bootable(guest: Guest) -> Bootable:
    """Return what boots the guest, built where it is not in the cache.

    Raises: ImageError; InputError where the image cannot do what the guest asks for.
    """
    if isinstance(guest.made.image, DiskImage):
        path, disk_format = disk.own(guest.made.image, guest.folder)
        return Bootable(
            kernel=None,
            initrd=None,
            append="",
            disk=path,
            disk_format=disk_format,
            channel="agent",
            digest=disk.own_digest(path),
            facts={"disk": str(path), "disk_format": disk_format},
        )
    root = root_filesystem(guest.made.image, guest.folder)
    systemd = guest.boot == "systemd"
    in_memory = isinstance(guest.made.image, RecipeImage) and guest.made.image.base == "tiny"
    chosen, program = kernel(), busybox()
    command = initramfs.command(_launch(guest, root, "" if in_memory else ROOT_DEVICES))
    append = " ".join((*APPEND, *(SYSTEMD if systemd else ())))
    ssh = None if guest.ssh_port is None else sshd.part(guest.ssh_port)
    digest = cache.digest_of(
        *(root.digest, chosen.digest, cache.digest_of_file(program), initramfs.digest(), append),
        *(hashlib.sha256(command).hexdigest(), *((ssh.digest,) if ssh else ())),
    )
    # Keys are a cache's own: what boots is known by the same digest on every host.
    name = cache.digest_of(digest, ssh.secret) if ssh else digest

    def build(path: Path) -> None:
        memory = cpio.of_tar(root.tar, "root") if in_memory else b""
        path.touch(0o600 if ssh else 0o666)
        path.write_bytes(
            initramfs.base(chosen, program, shared=in_memory)
            + memory
            + command
            + (ssh.content if ssh else b"")
        )

    base = None if in_memory else disk.of_root(root)
    initrd = cache.once(root.tar.parent / f"initrd-{name[:16]}.cpio", build)
    return Bootable(
        kernel=chosen.image,
        initrd=initrd,
        append=append,
        disk=base,
        disk_format="qcow2",
        channel="agent" if systemd else "init",
        digest=digest,
        facts={
            "kernel_package": chosen.package,
            "kernel_version": chosen.version,
            "kernel_arguments": append,
            "initrd_bytes": initrd.stat().st_size,
            "root_digest": root.digest,
            "boot": guest.boot,
            **({"ssh_server": f"dropbear {ssh.version}"} if ssh else {}),
        },
    )


def discard_bootable(guest: Guest) -> None:
    """Remove the disk and the initramfs that boot the guest; the kernel, which all share, stays.

    Raises: ImageError; Unavailable for a user's own disk.
    """
    if isinstance(guest.made.image, DiskImage):
        raise Unavailable(f"{guest.made.image.disk} is a user's own disk, which vmvc never removes")
    made = bootable(guest)
    for path in (made.disk, made.initrd):
        if path is not None:
            cache.discard(path)


def _launch(guest: Guest, root: RootFs, root_devices: str) -> initramfs.Launch:
    """Resolve names in the root file system: its user, its working directory, its command.

    Raises: ImageError, InputError where they are not there.
    """
    tree = Tree(root.tar)
    user = identity(tree, root.user)
    env = {"PATH": PATH, "HOME": user.home, **root.env, **guest.env}
    systemd = guest.boot == "systemd"
    if systemd and tree.find("/sbin/init") is None:
        raise InputError(
            Fault(
                "the image has no systemd",
                hint="use boot: command, or an image with base debian:bookworm",
            )
        )
    # Without a command of its own, systemd runs the services that the image has enabled.
    own = guest.command or (None if isinstance(guest.made.image, DiskImage) else guest.made.image.command)
    command = () if systemd and own is None else command_of(guest, root)
    if command and tree.program(command[0], env["PATH"]) is None:
        raise InputError(
            Fault(
                f"the image has no program '{command[0]}'",
                hint="name one that is in the image: guest.command",
            )
        )
    workdir = "/" + (tree.resolve(root.workdir) or root.workdir.strip("/"))
    return initramfs.Launch(
        argv=command,
        env=env,
        identity=user,
        workdir=workdir,
        stop_signal=root.stop_signal,
        root_devices=root_devices,
        systemd=systemd,
        units=systemd_files(command, env, user, workdir, root.stop_signal) if systemd else (),
    )
