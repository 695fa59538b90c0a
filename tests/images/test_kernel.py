"""Modules in the order in which they can be loaded, uncompressed."""

from __future__ import annotations

import lzma
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from vmvc.errors import ImageError
from vmvc.images import kernel


def _module(depends: str) -> bytes:
    return b"\x7fELF\0license=GPL\0depends=" + depends.encode() + b"\0name=x\0"


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(kernel, "MODULES", ("net_card", "ext4", "virtio_net"))
    folder = tmp_path / "6.1.0"
    (folder / "kernel").mkdir(parents=True)
    (folder / "modules.builtin").write_text("kernel/fs/ext4/ext4.ko\n")
    (folder / "kernel/ring-one.ko").write_bytes(_module(""))
    (folder / "kernel/virtio.ko.xz").write_bytes(lzma.compress(_module("ring-one")))
    (folder / "kernel/virtio_net.ko").write_bytes(_module("virtio,ring-one"))
    return folder


def test_a_driver_comes_after_what_it_needs(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "MODULES", ("ext4", "virtio_net"))
    order = kernel.copy_modules(library, tmp_path / "out")
    assert order == {"ext4": [], "virtio_net": ["ring_one", "virtio", "virtio_net"]}
    assert (tmp_path / "out/virtio.ko").read_bytes() == _module("ring-one")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "ring_one.ko",
        "virtio.ko",
        "virtio_net.ko",
    ]


def test_a_missing_driver_is_named(library: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no module 'net_card'"):
        kernel.copy_modules(library, tmp_path / "out")


def test_another_architecture_is_an_image_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(ImageError, match="riscv64") as caught:
        kernel.kernel()
    assert caught.value.hint


def _wrapped(packed: bytes) -> bytes:
    image = bytearray(0x400 + 0x200)
    image[0x1F1] = 1
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", image, 0x248, 0x200, len(packed))
    return bytes(image) + packed + b"what follows"


@pytest.mark.parametrize("packing", ["gzip", "xz", "lz4", "zstd"])
def test_a_kernel_is_unwrapped_however_it_is_packed(packing: str, tmp_path: Path) -> None:
    if shutil.which(packing) is None:
        pytest.skip(f"no {packing} here")
    content = b"\x7fELF" + bytes(range(256)) * 1000
    options = ["-l"] if packing == "lz4" else []
    packed = subprocess.run([packing, "-c", *options], input=content, capture_output=True, check=True).stdout
    size = b"" if packing == "gzip" else struct.pack("<I", len(content))
    assert kernel.unwrapped(_wrapped(packed + size)) == content


def test_an_unknown_packing_is_an_image_error() -> None:
    with pytest.raises(ImageError, match="unknown way"):
        kernel.unwrapped(_wrapped(b"????" * 9))
    with pytest.raises(ImageError, match="no bzImage"):
        kernel.unwrapped(b"\0" * 4096)
