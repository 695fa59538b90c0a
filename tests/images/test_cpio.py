"""A cpio as the kernel and the cpio program read it."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from vmvc.images import cpio
from vmvc.images.archive import Item, file, link

needs_cpio = pytest.mark.skipif(shutil.which("cpio") is None, reason="no cpio; apt-get install cpio")


def _listed(archive: bytes) -> dict[str, list[str]]:
    done = subprocess.run(
        ["cpio", "--list", "--verbose", "--numeric-uid-gid"], input=archive, capture_output=True, check=True
    )
    rows = [line.split() for line in done.stdout.decode().splitlines()]
    return {row[-3] if "->" in row else row[-1]: row for row in rows}


@needs_cpio
def test_items_come_out_as_they_went_in(tmp_path: Path) -> None:
    content = bytes(range(256)) * 3 + b"odd"
    archive = cpio.of_items(
        [file("a/b", content, 0o755), link("l", "a/b"), Item("dev/console", "device", 0o600, device=(5, 1))]
    )
    rows = _listed(archive)
    assert rows["l"][-1] == "a/b"
    assert rows["a/b"][0] == "-rwxr-xr-x"
    assert rows["dev/console"][0].startswith("crw")
    assert rows["dev/console"][4:6] == ["5,", "1"]
    subprocess.run(
        ["cpio", "--extract", "--quiet", "a*", "l"],
        input=archive,
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    assert (tmp_path / "l").read_bytes() == content


@needs_cpio
def test_a_tar_keeps_owners_modes_and_links_below_a_folder(tmp_path: Path) -> None:
    tar_path = tmp_path / "root.tar"
    with tarfile.open(tar_path, "w") as tar:
        info = tarfile.TarInfo("./home/me")
        info.uid, info.gid, info.mode, info.size = 1000, 100, 0o4750, 2
        tar.addfile(info, BytesIO(b"me"))
        info = tarfile.TarInfo("./home/link")
        info.type, info.linkname = tarfile.SYMTYPE, "/home/me"
        tar.addfile(info)
    rows = _listed(cpio.of_tar(tar_path, "root"))
    assert rows["root/home/me"][0] == "-rwsr-x---"
    assert rows["root/home/me"][2:5] == ["1000", "100", "2"]
    assert rows["root/home/link"][-1] == "/home/me"


@needs_cpio
def test_archives_may_be_concatenated_as_linux_reads_them() -> None:
    one, two = cpio.of_items([file("one", "1")]), cpio.of_items([file("two", "22")])
    assert len(one) % 4 == 0
    assert set(_listed(one)) == {"one"}
    assert set(_listed(two)) == {"two"}
