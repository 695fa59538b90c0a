"""What cannot boot is refused before it is tried."""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path

import pytest

from tests.real.images.machine import TINY, guest_of
from vmvc.contract import Guest
from vmvc.errors import InputError
from vmvc.images import (
    RootFs,
    bootable,
)
from vmvc.images.archive import file, link, write_tar
from vmvc.images.disk import of_root
from vmvc.spec import DiskImage


@pytest.mark.real("qemu")
@pytest.mark.parametrize(
    ("guest", "what"),
    [
        (guest_of(TINY, command=("no-such-program",)), "no program 'no-such-program'"),
        (guest_of(TINY, command=("/etc/passwd",)), "no program '/etc/passwd'"),
        (guest_of(TINY, boot="systemd"), "no systemd"),
        (
            guest_of(DiskImage(disk="none.qcow2"), folder=Path("/nowhere")),
            "/nowhere/none.qcow2 does not exist",
        ),
    ],
)
def test_what_cannot_boot_is_refused_before_it_is_tried(guest: Guest, what: str) -> None:
    with pytest.raises(InputError, match=what):
        bootable(guest)


@pytest.mark.real("qemu")
def test_a_users_own_disk_boots_as_it_is(tmp_path: Path) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", "vdi", tmp_path / "mine.vdi", "1M"], check=True)
    found = bootable(guest_of(DiskImage(disk="mine.vdi"), folder=tmp_path))
    assert (found.kernel, found.initrd, found.disk_format) == (None, None, "vdi")
    assert found.disk == tmp_path / "mine.vdi"


@pytest.mark.real("qemu", "root")
def test_without_root_owners_survive_on_the_disk() -> None:
    """Made by a user who may not give files away, the disk has the same owners and modes as the tar."""
    if shutil.which("fakeroot") is None:
        pytest.skip("no fakeroot; apt-get install fakeroot")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o777)
        with tarfile.open(place / "root.tar", "w") as tar:
            for member, owner, mode in (("mine", 1234, 0o4750), ("roots", 0, 0o600)):
                info = tarfile.TarInfo(member)
                info.uid, info.gid, info.mode, info.size = owner, owner + 1, mode, 5
                tar.addfile(info, io.BytesIO(b"hello"))
        child = multiprocessing.get_context("fork").Process(target=_make_as_nobody, args=(place,))
        child.start()
        child.join()
        assert child.exitcode == 0
        assert {path.name for path in place.iterdir()} == {".used", "cache", "disk.qcow2", "root.tar"}
        raw = place / "disk.raw"
        subprocess.run(["qemu-img", "convert", "-O", "raw", place / "disk.qcow2", raw], check=True)
        wanted = {
            "mine": r"Mode: +04750\b.*User: +1234 +Group: +1235\b",
            "roots": r"Mode: +0600\b.*User: +0 ",
        }
        for member, there in wanted.items():
            argv: list[str | Path] = ["debugfs", "-R", f"stat /{member}", raw]
            said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
            assert re.search(there, said, re.DOTALL)


def _make_as_nobody(place: Path) -> None:
    os.setgid(65534)
    os.setuid(65534)
    os.environ |= {"VMVC_CACHE": str(place / "cache"), "TMPDIR": str(place)}
    of_root(RootFs("0" * 64, place / "root.tar", (), {}, "", "/", "SIGTERM"))


@pytest.mark.real("qemu")
def test_the_same_root_gives_the_same_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VMVC_CACHE", str(tmp_path / "cache"))
    digests = set()
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        write_tar(folder / "root.tar", [file("etc/a", "a" * 9999), file("b", "b", 0o755), link("c", "b")])
        made = of_root(RootFs("0" * 64, folder / "root.tar", (), {}, "", "/", "SIGTERM"))
        digests.add(hashlib.sha256(made.read_bytes()).hexdigest())
        time.sleep(1.1)  # The disk keeps whole seconds.
    assert len(digests) == 1
