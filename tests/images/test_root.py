"""Who a user is, what a guest runs, and how a container image wants to be run."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmvc.contract import Guest
from vmvc.errors import ImageError, InputError
from vmvc.images import command_of, root_filesystem
from vmvc.images.archive import Tree, file, write_tar
from vmvc.images.oci import config_of, split
from vmvc.images.root import Identity, RootFs, identity
from vmvc.spec import DiskImage, GuestSpec, RecipeImage

PASSWD = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/srv/app:\nbroken line\nodd:x:abc:0::/:\n"
GROUP = "root:x:0:\napp:x:1001:\nvideo:x:44:app,other\naudio:x:29:other\n"


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", Identity(0, 0, "/root")),
        ("app", Identity(1000, 1001, "/srv/app", (44,))),
        ("1000", Identity(1000, 1001, "/srv/app", (44,))),
        ("app:video", Identity(1000, 44, "/srv/app")),
        ("app:7", Identity(1000, 7, "/srv/app")),
        ("4242", Identity(4242, 0, "/")),
        ("4242:4243", Identity(4242, 4243, "/")),
    ],
)
def test_users_are_found_as_in_a_container(tmp_path: Path, user: str, expected: Identity) -> None:
    write_tar(tmp_path / "root.tar", [file("etc/passwd", PASSWD), file("etc/group", GROUP)])
    assert identity(Tree(tmp_path / "root.tar"), user) == expected


@pytest.mark.parametrize(("user", "what"), [("nobody", "no user 'nobody'"), ("app:none", "no group 'none'")])
def test_an_unknown_user_is_named(tmp_path: Path, user: str, what: str) -> None:
    write_tar(tmp_path / "root.tar", [file("etc/passwd", PASSWD)])
    with pytest.raises(ImageError, match=what):
        identity(Tree(tmp_path / "root.tar"), user)


def test_a_root_without_accounts_has_root_by_number(tmp_path: Path) -> None:
    write_tar(tmp_path / "root.tar", [file("x", "")])
    assert identity(Tree(tmp_path / "root.tar"), "") == Identity(0, 0, "/")


def _guest(command: tuple[str, ...] | None) -> Guest:
    spec = GuestSpec()
    return Guest(
        image=RecipeImage(base="tiny"), cpus=1, memory=spec.memory, ready=spec.ready, command=command
    )


def test_the_guests_command_comes_before_the_images() -> None:
    root = RootFs("d", Path("t"), ("image",), {}, "", "/", "SIGTERM")
    assert command_of(_guest(("own", "")), root) == ("own", "")
    assert command_of(_guest(None), root) == ("image",)


def test_a_guest_without_any_command_is_refused() -> None:
    with pytest.raises(InputError, match="no command to run"):
        command_of(_guest(None), RootFs("d", Path("t"), (), {}, "", "/", "SIGTERM"))


def test_a_disk_is_no_root_file_system() -> None:
    with pytest.raises(InputError, match="only in virtual machines"):
        root_filesystem(DiskImage(disk="a.qcow2"), Path())


def test_a_container_images_configuration_is_kept() -> None:
    config = config_of(
        {
            "Entrypoint": ["/entry", "a  b"],
            "Cmd": ["$HOME"],
            "Env": ["A=1=2", "PATH=/opt", "NOVALUE"],
            "User": "app:video",
            "WorkingDir": "/srv",
            "StopSignal": "SIGQUIT",
        }
    )
    assert config.command == ("/entry", "a  b", "$HOME")
    assert dict(config.env) == {"A": "1=2", "PATH": "/opt"}
    assert (config.user, config.workdir, config.stop_signal) == ("app:video", "/srv", "SIGQUIT")


def test_an_empty_configuration_gets_what_an_engine_gives_it() -> None:
    config = config_of({"Entrypoint": None, "Cmd": None, "Env": None, "WorkingDir": ""})
    assert (config.command, config.user, config.workdir, config.stop_signal) == ((), "", "/", "SIGTERM")
    assert dict(config.env)["PATH"].endswith(":/bin")


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("nginx", ("nginx", "latest")),
        ("nginx:1.27", ("nginx", "1.27")),
        ("lab:5000/a/b", ("lab:5000/a/b", "latest")),
        ("lab:5000/a/b:c", ("lab:5000/a/b", "c")),
        ("nginx@sha256:abc", ("nginx@sha256:abc", None)),
        ("nginx:1@sha256:abc", ("nginx:1@sha256:abc", None)),
    ],
)
def test_references_split_into_repository_and_tag(reference: str, expected: tuple[str, str | None]) -> None:
    assert split(reference) == expected
