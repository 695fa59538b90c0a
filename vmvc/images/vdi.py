"""A guest -> what VirtualBox boots: VDIs that are never written to, of its disk and of a boot medium.

VirtualBox boots no kernel by itself: a boot loader on the small medium does. Kernel, initramfs and root file
system are those that every other virtual machine boots.
"""

from __future__ import annotations

import shutil
import struct
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from vmvc.contract import Guest, Scalar
from vmvc.errors import ImageError
from vmvc.images import boot, cache, packages, tool
from vmvc.images.kernel import kernel
from vmvc.spec import DiskImage

FORMAT: Final = 1
"""Raised whenever the same parts give another CD."""

_CHANNEL: Final = "vmvc.channel=ttyS1"
_PORTS: Final = {"8250.nr_uarts=1": "8250.nr_uarts=2"}
"""The second serial port carries commands, so the kernel must drive it."""
_LOADER: Final = (
    ("isolinux", "isolinux.bin"),
    ("isolinux", "isohdpfx.bin"),
    ("syslinux-common", "ldlinux.c32"),
)
"""Debian package and file: the loader, what starts it from a hard disk, and its library."""
_SIGNATURE: Final = 0xBEDA107F
_TIMELESS: Final = {"SOURCE_DATE_EPOCH": "0"}


@dataclass(frozen=True, slots=True)
class Vdi:
    """A disk of VirtualBox; ``identity``: what it is registered by, ``size``: the bytes that a guest sees."""

    path: Path
    identity: uuid.UUID
    size: int

    @classmethod
    def read(cls, path: Path) -> Vdi:
        """Read the header of a VDI.

        Raises: ImageError where it is none.

        Source: VirtualBox 7.0, src/VBox/Storage/VDICore.h, VDIPREHEADER and VDIHEADER1.
        """
        try:
            with path.open("rb") as file:
                head = file.read(512)
        except OSError as error:
            raise ImageError(
                f"the disk {path} cannot be read: {error.strerror}", hint="let this user read it"
            ) from error
        if len(head) < 512 or struct.unpack_from("<I", head, 64)[0] != _SIGNATURE:
            raise ImageError(f"{path} is no VDI", hint="convert it: qemu-img convert -O vdi")
        return cls(path, uuid.UUID(bytes_le=head[392:408]), struct.unpack_from("<Q", head, 368)[0])


@dataclass(frozen=True, slots=True)
class VdiBoot:
    """What a machine of VirtualBox boots.

    ``disk``: ``None`` where the root is in the initramfs. ``medium``: a loader, the kernel and the initramfs;
    ``None`` for a disk that boots by itself. ``folder``: the image's in the cache.
    """

    folder: Path

    disk: Vdi | None
    medium: Vdi | None
    channel: Literal["init", "none"]
    digest: str
    facts: Mapping[str, Scalar]

    @property
    def disks(self) -> Mapping[str, Vdi]:
        """Return both by name: the one to boot from first, where there is one."""
        named = {"boot": self.medium, "disk": self.disk}
        return {name: one for name, one in named.items() if one is not None}


def vdi_boot(guest: Guest, arguments: Sequence[str] = ()) -> VdiBoot:
    """Return what boots the guest, built where it is not in the cache; ``arguments``: more for the kernel.

    Raises: ImageError; InputError where the image cannot do what the guest asks for.
    """
    made = boot.bootable(guest)
    if made.kernel is None or made.initrd is None:
        assert made.disk is not None
        own = made.disk if made.disk_format == "vdi" else _converted(made.disk, made.disk_format, made.digest)
        return VdiBoot(cache.image_folder(made.digest), Vdi.read(own), None, "none", made.digest, made.facts)
    append = " ".join((*(_PORTS.get(one, one) for one in made.append.split()), _CHANNEL, *arguments))
    loader = _loader()
    digest = cache.digest_of(FORMAT, made.digest, append, cache.digest_of_file(loader / "isolinux.bin"))
    packed, initrd = kernel().packed, made.initrd
    name = cache.digest_of(digest, initrd.name)
    medium = cache.once(
        initrd.parent / f"boot-{name[:16]}.vdi", lambda path: _write(path, packed, initrd, loader, append)
    )
    disk = None if made.disk is None else Vdi.read(_vdi_of(made.disk))
    facts = {**made.facts, "kernel_arguments": append, "boot_medium_bytes": medium.stat().st_size}
    return VdiBoot(
        initrd.parent, disk, Vdi.read(medium), "init" if guest.boot == "command" else "none", digest, facts
    )


def discard_vdi_boot(guest: Guest, arguments: Sequence[str] = ()) -> None:
    """Remove the VDIs and what they were made from, as ``boot.discard_bootable`` does.

    Raises: ImageError; Unavailable for a user's own disk.
    """
    if not isinstance(guest.image, DiskImage):
        made = vdi_boot(guest, arguments)
        for one in (made.disk, made.medium):
            if one is not None:
                cache.discard(one.path)
    boot.discard_bootable(guest)


def _vdi_of(disk: Path) -> Path:
    return cache.once(disk.with_suffix(".vdi"), lambda path: _convert(disk, "qcow2", path))


def _converted(disk: Path, disk_format: str, digest: str) -> Path:
    """Return a copy of a user's own disk as a VDI, made anew when the disk has changed."""
    folder = cache.image_folder(digest)
    cache.note_recipe(digest, {"base": str(disk)})
    return cache.once(folder / "disk.vdi", lambda path: _convert(disk, disk_format, path))


def _convert(disk: Path, disk_format: str, path: Path) -> None:
    tool.run(
        ["qemu-img", "convert", "-U", "-f", disk_format, "-O", "vdi", disk, path], doing="convert the disk"
    )


def _loader() -> Path:
    """Return a folder with Debian's isolinux."""
    return cache.once(cache.cache_dir() / "programs" / "isolinux", _download)


def _download(folder: Path) -> None:
    folder.mkdir(parents=True)
    for package, name in _LOADER:
        with packages.unpacked(package) as (files, _):
            found = sorted(files.rglob(name), key=lambda path: "bios" not in path.parts)
            if not found:
                raise ImageError(f"the package {package} has no {name}", hint="sudo apt-get update")
            shutil.copy(found[0], folder / name)


def _write(path: Path, packed: Path, initrd: Path, loader: Path, append: str) -> None:
    """Write an ISO that boots as a hard disk: one that VirtualBox registers with the machine alone."""
    settings = ("DEFAULT vmvc", "PROMPT 0", "LABEL vmvc", "KERNEL vmlinuz", f"APPEND initrd=initrd {append}")
    with tempfile.TemporaryDirectory(prefix=f"{path.name}-", dir=path.parent) as name:
        tree, image = Path(name, "tree"), Path(name, "boot.iso")
        tree.mkdir()
        shutil.copy(packed, tree / "vmlinuz")
        shutil.copy(initrd, tree / "initrd")
        for one in ("isolinux.bin", "ldlinux.c32"):
            shutil.copy(loader / one, tree / one)
        (tree / "isolinux.cfg").write_text("\n".join(settings) + "\n")
        tool.run(
            [
                *("xorriso", "-as", "mkisofs", "-quiet", "-o", image, "-V", "VMVC", "-b", "isolinux.bin"),
                *("-c", "boot.cat", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table"),
                *("-isohybrid-mbr", loader / "isohdpfx.bin", tree),
            ],
            doing="write the boot medium",
            env=_TIMELESS,
        )
        made = Path(name, "boot.vdi")
        _convert(image, "raw", made)
        made.chmod(initrd.stat().st_mode)  # it may hold a key
        made.rename(path)
