"""Debian's cloud kernel package -> a kernel and the few modules that a virtual machine needs, cached."""

from __future__ import annotations

import json
import logging
import lzma
import platform
import re
import struct
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vmvc.errors import ImageError
from vmvc.images import cache, packages, tool

METAPACKAGE: Final = "linux-image-cloud-amd64"

FORMAT: Final = 3
"""Raised whenever the same package gives other files."""

MODULES: Final = (
    "virtio_pci",
    "virtio_mmio",
    "virtio_net",
    "virtio_blk",
    "virtio_console",
    "virtio_rng",
    "virtio_balloon",
    "virtio_scsi",
    "sd_mod",
    "ext4",
    "evdev",
    "button",
)
"""Drivers that the minimal init loads; those built into the kernel need no file."""

log = logging.getLogger(__name__)

_DEPENDS: Final = re.compile(rb"\0depends=([^\0]*)\0")


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel and its modules; ``load_order`` maps each driver to the files it needs, first ones first.

    ``packed``: the same kernel as a boot loader takes it (bzImage).
    """

    image: Path
    packed: Path
    modules: Path
    load_order: Mapping[str, Sequence[str]]
    package: str
    version: str

    @property
    def digest(self) -> str:
        return cache.digest_of(FORMAT, self.package, self.version)


def kernel() -> Kernel:
    """Return the kernel for virtual machines; the one in the cache is kept until it is removed from there.

    Raises: ImageError where this host cannot download Debian's kernel.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        raise ImageError(
            f"there is no kernel for virtual machines on {platform.machine()}",
            hint="run this backend on an x86-64 host, or give the guest a disk image of your own",
        )
    folder = cache.once(cache.cache_dir() / "kernels" / f"{METAPACKAGE}-{FORMAT}", _download)
    about = json.loads((folder / "kernel.json").read_text())
    return Kernel(
        image=folder / "vmlinux",
        packed=folder / "vmlinuz",
        modules=folder / "modules",
        load_order=about["load_order"],
        package=about["package"],
        version=about["version"],
    )


def _download(folder: Path) -> None:
    package = next((name for name in packages.depends(METAPACKAGE) if name.startswith("linux-image-")), None)
    if package is None:
        raise ImageError(
            f"the package {METAPACKAGE} names no kernel", hint="sudo apt-get update, then try again"
        )
    log.info("downloading the kernel for virtual machines: %s", package)
    with packages.unpacked(package) as (files, version):
        release = next((files / "boot").glob("vmlinuz-*")).name.removeprefix("vmlinuz-")
        folder.mkdir(parents=True)
        packed = (files / "boot" / f"vmlinuz-{release}").read_bytes()
        (folder / "vmlinuz").write_bytes(packed)
        (folder / "vmlinux").write_bytes(unwrapped(packed))
        library = next(path for path in (files / "lib/modules", files / "usr/lib/modules") if path.is_dir())
        order = copy_modules(library / release, folder / "modules")
    about = {"package": package, "version": version, "release": release, "load_order": order}
    (folder / "kernel.json").write_text(json.dumps(about, indent=1))


def copy_modules(library: Path, target: Path) -> dict[str, list[str]]:
    """Copy what ``MODULES`` need, uncompressed; return for each the names to load in order."""
    target.mkdir()
    built_in = {_name(Path(line)) for line in (library / "modules.builtin").read_text().split()}
    files = {_name(path): path for path in library.rglob("*.ko*")}

    def load(name: str, order: list[str]) -> list[str]:
        if name in built_in or name in order:
            return order
        if name not in files:
            raise ImageError(
                f"the kernel package has no module '{name}'", hint="report it: vmvc needs this driver"
            )
        content = _uncompressed(files[name])
        (target / f"{name}.ko").write_bytes(content)
        found = _DEPENDS.search(content)
        for other in filter(None, found[1].decode().split(",") if found else []):
            load(other.replace("-", "_"), order)
        order.append(name)
        return order

    return {name: load(name, []) for name in MODULES}


def unwrapped(image: bytes) -> bytes:
    """Return the kernel that a bzImage unpacks; booted as it is (PVH), it saves half a second of emulation.

    Raises: ImageError where it is packed in an unknown way.

    Source: Documentation/arch/x86/boot.rst, fields setup_sects, payload_offset, payload_length.
    """
    if image[0x202:0x206] != b"HdrS":
        raise ImageError("the kernel package holds no bzImage", hint="report it, with the package's version")
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = ((image[0x1F1] or 4) + 1) * 512 + offset
    packed = image[start : start + length]
    # All but gzip are followed by the unpacked size.
    if packed.startswith(b"\x1f\x8b"):
        kernel = zlib.decompressobj(wbits=31).decompress(packed)
    elif packed.startswith(b"\xfd7zXZ"):
        kernel = lzma.decompress(packed[:-4])
    elif packed.startswith(b"\x02\x21\x4c\x18"):
        kernel = _unpacked_by("lz4", packed[:-4])
    elif packed.startswith(b"\x28\xb5\x2f\xfd"):
        kernel = _unpacked_by("zstd", packed[:-4])
    else:
        raise ImageError(
            f"the kernel is packed in an unknown way ({packed[:4].hex()})",
            hint="report it, with the package's version",
        )
    return kernel


def _unpacked_by(program: str, packed: bytes) -> bytes:
    with tempfile.NamedTemporaryFile(prefix="vmvc-") as file:
        file.write(packed)
        file.flush()
        return tool.run([program, "-dc", file.name], doing=f"unpack the kernel with {program}")


def _name(path: Path) -> str:
    return path.name.split(".ko")[0].replace("-", "_")


def _uncompressed(path: Path) -> bytes:
    if path.suffix == ".xz":
        return lzma.decompress(path.read_bytes())
    if path.suffix == ".zst":
        return tool.run(["zstd", "-dc", path], doing=f"decompress {path.name}")
    return path.read_bytes()
