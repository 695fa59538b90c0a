"""Debian with nginx serves its page in a machine, in a container and in a chroot."""

from __future__ import annotations

import json
import time
from pathlib import Path

import docker
import pytest

from tests.real.images.machine import (
    HERE,
    Boots,
    Channel,
    connected,
    container,
    eventually,
    fetch,
    fetch_inside,
    guest_of,
    in_chroot,
)
from vmvc.errors import ImageError
from vmvc.images import (
    docker_image,
    root_filesystem,
)
from vmvc.images.archive import Tree
from vmvc.spec import RecipeImage

PAGE = "<p>one root\n"
DEBIAN = RecipeImage(
    base="debian:bookworm",
    packages=("nginx-light",),
    services=("nginx",),
    files={"/var/www/html/index.html": PAGE},
)


@pytest.fixture(scope="session", name="debian")
def _debian() -> RecipeImage:
    root_filesystem(DEBIAN, HERE)
    return DEBIAN


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.real("qemu", "mmdebstrap")
@pytest.mark.parametrize("boot", ["command", "systemd"])
def test_debian_serves_in_a_machine(boots: Boots, debian: RecipeImage, boot: str) -> None:
    one = boots(guest_of(debian, boot=boot))
    assert one.page() == PAGE.encode()
    print(f"\ndebian, boot: {boot}: ready after {time.monotonic() - one.begun:.1f} s")
    if boot == "systemd":
        with connected(one.folder / "channel") as agent, agent.makefile() as answers:
            agent.sendall(b'{"execute": "guest-ping"}\n')
            assert json.loads(answers.readline()) == {"return": {}}
    else:
        with connected(one.folder / "channel") as connection:
            channel = Channel(connection)
            # The root's own programs run, not busybox's of the same name.
            assert b"coreutils" in channel.run("cat", "--version")[1]
            assert channel.run("sh", "-c", "readlink /proc/$$/exe")[1] == b"/usr/bin/dash\n"
            assert b"nginx: master" in channel.run("sh", "-c", "cat /proc/[0-9]*/cmdline")[1]
            assert channel.run("stat", "-c", "%U %a", "/etc/shadow", "/tmp")[1] == b"root 640\nroot 1777\n"
    assert one.shut_down() == 0


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.real("qemu", "mmdebstrap")
def test_a_command_runs_under_systemd_and_ends_the_machine(boots: Boots, debian: RecipeImage) -> None:
    command = ("sh", "-c", 'echo "$0, $A in $(pwd) as $(id -u)"', "a  'b'")
    one = boots(guest_of(debian, boot="systemd", command=command, env={"A": "$HOME"}))
    assert one.ended() == 0
    assert "a  'b', $HOME in / as 0" in one.console
    assert "vmvc: command ended with 0" in one.console


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.real("docker", "mmdebstrap")
def test_debian_serves_in_a_container(engine: docker.APIClient, debian: RecipeImage) -> None:
    with container(engine, docker_image(debian, engine, HERE)) as (made, port):
        assert eventually(lambda: fetch(port)) == PAGE.encode()
        engine.stop(made, timeout=60)
        assert engine.inspect_container(made)["State"]["ExitCode"] == 0


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.real("root", "mmdebstrap")
def test_debian_serves_in_a_chroot(debian: RecipeImage, tmp_path: Path) -> None:
    with in_chroot(debian, tmp_path) as (_, pid):
        assert eventually(lambda: fetch_inside(pid)) == PAGE.encode()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.real("mmdebstrap")
def test_debian_holds_nothing_of_this_machine(debian: RecipeImage) -> None:
    tree = Tree(root_filesystem(debian, HERE).tar)
    assert tree.find("/boot/vmlinuz") is None
    assert not [
        name
        for name in tree.members
        if name.startswith(("boot/vmlinuz", "lib/modules/", "var/lib/apt/lists/d"))
    ]
    assert tree.read("/etc/hostname") == b"vmvc\n"
    assert tree.read("/etc/resolv.conf") is None
    enabled = {
        name.rpartition("/")[2] for name in tree.members if name.startswith("etc/systemd/system/multi-user")
    }
    assert {name for name in enabled if name.endswith(".service")} == {"nginx.service"}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.real("mmdebstrap")
@pytest.mark.parametrize(
    ("image", "hint"),
    [
        (RecipeImage(base="debian:nosuchsuite"), "no Debian suite 'nosuchsuite'"),
        (RecipeImage(base="debian:bookworm", packages=("no-such-package",)), "no package 'no-such-package'"),
        (RecipeImage(base="debian:bookworm", services=("ngnix",)), "service 'ngnix'; there are: "),
    ],
)
def test_a_debian_that_cannot_be_built_says_why(
    image: RecipeImage, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMVC_CACHE", str(tmp_path))
    with pytest.raises(ImageError, match="could not build") as caught:
        root_filesystem(image, HERE)
    assert hint in caught.value.hint
    assert not list(tmp_path.glob("images/*/root.tar"))
    assert not list(tmp_path.glob("images/*/.partial*"))
