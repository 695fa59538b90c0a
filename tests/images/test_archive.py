"""A tar depends on nothing but its items; paths resolve as inside the root."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from vmvc.errors import ImageError
from vmvc.images.archive import Tree, file, folder, link, text_mode, with_folders, write_tar


def test_the_same_items_in_any_order_give_the_same_bytes(tmp_path: Path) -> None:
    items = [file("b/c", "text\n"), file("a", b"\x00\xff", 0o755), link("d", "b/c"), folder("tmp", 0o1777)]
    write_tar(tmp_path / "one", items)
    write_tar(tmp_path / "two", reversed(items))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    with tarfile.open(tmp_path / "one") as tar:
        members = {member.name: member for member in tar}
    assert list(members) == ["a", "b", "b/c", "d", "tmp"]
    assert {(one.mtime, one.uid, one.gid) for one in members.values()} == {(0, 0, 0)}
    assert (members["a"].mode, members["tmp"].mode, members["b"].isdir()) == (0o755, 0o1777, True)


def test_the_last_item_of_a_path_counts() -> None:
    assert [item.content for item in with_folders([file("a", "old"), file("a", "new")])] == [b"new"]


def test_a_file_below_a_file_is_refused() -> None:
    with pytest.raises(ImageError, match="bin/sh is not a folder"):
        with_folders([file("bin/sh", ""), file("bin/sh/x", "")])


def test_scripts_can_be_run() -> None:
    assert (text_mode("#!/bin/sh\n"), text_mode("text")) == (0o755, 0o644)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    path = tmp_path / "root.tar"
    with tarfile.open(path, "w") as tar:

        def add(
            name: str, content: bytes = b"", target: str = "", mode: int = 0o755, kind: bytes = b""
        ) -> None:
            info = tarfile.TarInfo(name)
            info.size, info.linkname, info.mode = len(content), target, mode
            info.type = kind or (tarfile.SYMTYPE if target else tarfile.REGTYPE)
            tar.addfile(info, io.BytesIO(content))

        for name in ("./", "./usr/", "./usr/bin/", "./etc/", "./etc/alternatives/"):
            add(name, kind=tarfile.DIRTYPE)
        add("./bin", target="usr/bin")
        add("./usr/bin/dash", b"dash")
        add("./usr/bin/sh", target="dash")
        add("./usr/bin/awk", target="/etc/alternatives/awk")
        add("./etc/alternatives/awk", target="../../usr/bin/mawk")
        add("./usr/bin/mawk", b"mawk")
        add("./usr/bin/hard", target="./usr/bin/dash", kind=tarfile.LNKTYPE)
        add("./etc/text", b"text", mode=0o644)
        add("./loop", target="loop")
    return Tree(path)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/bin/sh", b"dash"),
        ("/usr/bin/../bin/./dash", b"dash"),
        ("/../../bin/awk", b"mawk"),
        ("/bin/hard", b"dash"),
        ("/bin/none", None),
        ("/loop", None),
        ("/etc", None),
    ],
)
def test_paths_resolve_inside_the_root(tree: Tree, path: str, content: bytes | None) -> None:
    assert tree.read(path) == content


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("sh", "/bin/sh"),
        ("/bin/awk", "/bin/awk"),
        ("text", None),
        ("none", None),
        ("/etc/text", None),
        ("", None),
    ],
)
def test_programs_are_found_as_execvp_finds_them(tree: Tree, name: str, found: str | None) -> None:
    assert tree.program(name, "/none:/bin:/etc") == found


def test_a_damaged_tar_is_an_image_error(tmp_path: Path) -> None:
    (tmp_path / "root.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises(ImageError, match="cannot be read"):
        Tree(tmp_path / "root.tar")
