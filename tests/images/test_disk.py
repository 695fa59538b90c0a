"""A user's own disk is inspected, never trusted, never written to."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from vmvc.errors import InputError
from vmvc.images import disk
from vmvc.spec import DiskImage

pytestmark = pytest.mark.real("qemu")


def _made(path: Path, kind: str) -> Path:
    subprocess.run(["qemu-img", "create", "-q", "-f", kind, str(path), "1M"], check=True)
    return path


@pytest.mark.parametrize("kind", ["qcow2", "raw", "vdi"])
def test_the_format_is_found(tmp_path: Path, kind: str) -> None:
    path = _made(tmp_path / "a b.img", kind)
    before = path.read_bytes()
    assert disk.own(DiskImage(disk="a b.img"), tmp_path) == (path, kind)
    assert disk.own(DiskImage(disk=str(path), format=kind), Path("/nowhere")) == (path, kind)  # type: ignore[arg-type]
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "what"), [("none.img", "does not exist"), (".", "is not a file"), ("empty.img", "is empty")]
)
def test_what_is_no_disk_is_refused(tmp_path: Path, name: str, what: str) -> None:
    (tmp_path / "empty.img").touch()
    with pytest.raises(InputError, match=what):
        disk.own(DiskImage(disk=name), tmp_path)


def test_another_format_than_the_one_named_is_refused(tmp_path: Path) -> None:
    _made(tmp_path / "d", "vdi")
    with pytest.raises(InputError, match="is vdi, not qcow2"):
        disk.own(DiskImage(disk="d", format="qcow2"), tmp_path)


def test_a_qcow2_called_raw_is_taken_as_raw(tmp_path: Path) -> None:
    path = _made(tmp_path / "d", "qcow2")
    with pytest.raises(InputError, match="is qcow2, not raw"):
        disk.own(DiskImage(disk="d", format="raw"), tmp_path)
    assert path.exists()


def test_a_format_that_no_backend_reads_is_refused_with_its_cure(tmp_path: Path) -> None:
    _made(tmp_path / "d", "vmdk")
    with pytest.raises(InputError, match="format vmdk") as caught:
        disk.own(DiskImage(disk="d"), tmp_path)
    assert "qemu-img convert" in str(caught.value)


def test_a_broken_header_is_refused(tmp_path: Path) -> None:
    path = _made(tmp_path / "d", "qcow2")
    path.write_bytes(path.read_bytes()[:70])
    with pytest.raises(InputError, match="cannot be read"):
        disk.own(DiskImage(disk="d"), tmp_path)


def test_another_content_is_another_digest(tmp_path: Path) -> None:
    path = _made(tmp_path / "d", "raw")
    before = disk.own_digest(path)
    with path.open("r+b") as file:
        file.write(b"x")
        file.truncate(2**21)
    assert disk.own_digest(path) != before


def test_there_is_room_for_the_files_and_a_quarter_of_a_gibibyte() -> None:
    assert disk.room(0) == 256 * 2**20
    assert disk.room(100 * 2**20) == 386 * 2**20
    assert disk.room(1) == 257 * 2**20
