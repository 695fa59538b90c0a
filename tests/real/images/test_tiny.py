"""The tiny image serves its page in a machine, in a container and in a chroot."""

from __future__ import annotations

import time
from pathlib import Path

import docker
import pytest

from tests.real.images.machine import (
    HERE,
    TINY,
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
from vmvc.images import (
    docker_image,
    emulated_clock,
    remove,
    root_filesystem,
)
from vmvc.spec import RecipeImage


@pytest.mark.real("qemu")
@pytest.mark.parametrize("machine", ["q35", "pc", "microvm"])
def test_tiny_serves_its_page_and_ends_at_the_power_button(boots: Boots, machine: str) -> None:
    one = boots(guest_of(TINY), machine=machine, memory=256)
    assert b"vmvc: ready" in one.page()
    print(f"\n{machine}: ready after {time.monotonic() - one.begun:.2f} s")
    with connected(one.folder / "channel") as connection:
        assert Channel(connection).run("echo", "there")[:2] == (0, b"there\n")
    one.power_button()
    assert one.ended() == 0
    assert "vmvc: init" in one.console
    assert "vmvc: command ended with 0" in one.console


@pytest.mark.real("qemu")
def test_the_machine_ends_with_its_command_and_nothing_outlives_it(boots: Boots) -> None:
    one = boots(
        guest_of(TINY, command=("sh", "-c", "echo 'a  b'; while :; do echo more; done & sleep 1; exit 7"))
    )
    assert one.ended() == 0
    assert "vmvc: command ended with 7" in one.console, one.console[-200:]
    during, after = one.console.split("vmvc: command ended with 7")
    assert "a  b" in during
    assert "more" in during
    assert "more" not in after


@pytest.mark.real("qemu")
def test_an_emulated_guests_clock_runs_as_the_hosts(boots: Boots) -> None:
    if not emulated_clock():
        pytest.skip("this host's time stamp counter is not constant")
    one = boots(guest_of(TINY), machine="microvm")
    one.page()
    with connected(one.folder / "channel") as connection:
        channel = Channel(connection)

        def both() -> tuple[float, float]:
            before = time.monotonic()
            uptime = float(channel.run("cat", "/proc/uptime")[1].split()[0])
            return (before + time.monotonic()) / 2, uptime

        first = both()
        time.sleep(5)
        last = both()
    assert (last[1] - first[1]) / (last[0] - first[0]) == pytest.approx(1, abs=0.05)


@pytest.mark.real("docker")
def test_tiny_serves_in_a_container_and_stops_at_once(engine: docker.APIClient) -> None:
    image = docker_image(TINY, engine, HERE)
    assert docker_image(TINY, engine, HERE) == image
    with container(engine, image) as (made, port):
        assert b"vmvc: ready" in eventually(lambda: fetch(port))
        begun = time.monotonic()
        engine.stop(made, timeout=30)
        assert time.monotonic() - begun < 10
        assert engine.inspect_container(made)["State"]["ExitCode"] == 0


@pytest.mark.real("root")
def test_tiny_serves_in_a_chroot(tmp_path: Path) -> None:
    with in_chroot(TINY, tmp_path) as (_, pid):
        assert b"vmvc: ready" in eventually(lambda: fetch_inside(pid))


@pytest.mark.real("qemu", "docker")
def test_files_of_a_recipe_are_the_same_everywhere(
    boots: Boots, engine: docker.APIClient, request: pytest.FixtureRequest
) -> None:
    image = RecipeImage(
        base="tiny", files={"/www/index.html": "<p>\u00e9\n", "/opt/x/run": '#!/bin/sh\necho "$1"\n'}
    )
    request.addfinalizer(lambda: remove(root_filesystem(image, HERE).digest))
    one = boots(guest_of(image))
    assert one.page() == "<p>\u00e9\n".encode()
    with connected(one.folder / "channel") as connection:
        assert Channel(connection).run("/opt/x/run", "a  b")[1] == b"a  b\n"
    with container(engine, docker_image(image, engine, HERE)) as (_, port):
        assert eventually(lambda: fetch(port)) == "<p>\u00e9\n".encode()
