"""Users, as images name them, become the ids that Docker would take."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmvc.backends.process import _signal
from vmvc.backends.process_plan import _identity
from vmvc.backends.process_root import _escaped
from vmvc.errors import ImageError

PASSWD = "root:x:0:0:root:/root:/bin/sh\nweb:x:101:102:web:/srv:/bin/sh\nbroken\n7:x:300:301::/seven:\n"
GROUP = "root:x:0:\nweb:x:102:\nmore:x:103:web,root\nshort:x:104\n+::x:\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(PASSWD)
    (tmp_path / "etc/group").write_text(GROUP)
    return tmp_path


@pytest.mark.parametrize(
    ("user", "ids", "home"),
    [
        ("", (0, 0, (103,)), "/root"),
        ("root", (0, 0, (103,)), "/root"),
        ("web", (101, 102, (103,)), "/srv"),
        ("101", (101, 102, (103,)), "/srv"),
        ("web:more", (101, 103, ()), "/srv"),
        ("web:999", (101, 999, ()), "/srv"),
        ("500", (500, 0, ()), "/"),
        ("500:500", (500, 500, ()), "/"),
        ("7", (300, 301, ()), "/seven"),
    ],
)
def test_a_user(root: Path, user: str, ids: tuple[int, int, tuple[int, ...]], home: str) -> None:
    assert _identity(root, user) == (ids, home)


@pytest.mark.parametrize("user", ["nobody", "web:none", "broken"])
def test_a_user_that_the_image_does_not_have(root: Path, user: str) -> None:
    with pytest.raises(ImageError, match="the image has no"):
        _identity(root, user)


def test_an_image_without_users(tmp_path: Path) -> None:
    assert _identity(tmp_path, "") == ((0, 0, ()), "/")


@pytest.mark.parametrize(
    ("name", "number"),
    [("SIGTERM", 15), ("TERM", 15), ("15", 15), ("SIGRTMIN+3", 37), ("RTMIN+3", 37), ("SIGQUIT", 3)],
)
def test_a_stop_signal(name: str, number: int) -> None:
    assert _signal(name) == number


def test_a_path_that_would_end_an_overlay_option() -> None:
    assert _escaped(Path("/a:b,c\\d e")) == "/a\\:b\\,c\\\\d e"
