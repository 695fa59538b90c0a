"""What the docker backend says agrees with docker inspect, docker stats, docker top, du and /proc."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import docker
import psutil
import pytest

from tests.real.docker.guests import MEMORY, SERVES, TIME, WAITS, Make, cli, says, until
from vmvc.backends import docker_host
from vmvc.backends.docker import DockerBackend

pytestmark = [pytest.mark.real("docker"), pytest.mark.quiet]


def test_what_was_asked_is_what_docker_inspects(make: Make) -> None:
    instance = make(replace(SERVES, env={"A": "b  c; $HOME"}))
    seen = json.loads(cli("inspect", instance.tag.name))[0]
    assert seen["HostConfig"]["Memory"] == MEMORY
    assert seen["HostConfig"]["MemorySwap"] == MEMORY
    assert seen["HostConfig"]["NanoCpus"] == 10**9
    assert seen["HostConfig"]["Init"] is False
    assert seen["HostConfig"]["LogConfig"]["Type"] == "json-file"
    assert "A=b  c; $HOME" in seen["Config"]["Env"]
    assert instance.tag.labels().items() <= seen["Config"]["Labels"].items()
    host, port = instance.endpoint(80)
    assert cli("port", instance.tag.name, "80/tcp").split() == [f"{host}:{port}"]
    assert host == "127.0.0.1"


def test_the_limit_is_the_cgroup_limit(make: Make) -> None:
    folder = make(WAITS).cgroup()
    assert folder is not None
    limits = [folder / name for name in ("memory.max", "memory.limit_in_bytes") if (folder / name).exists()]
    assert [int(limit.read_text()) for limit in limits] == [MEMORY]


def test_memory_is_what_docker_stats_shows(make: Make, api: docker.APIClient) -> None:
    instance = make(says("dd if=/dev/zero of=/file bs=1M count=8 2>/dev/null; echo done; exec sleep 600"))
    console = instance.console()
    until(lambda: console.read(0.1) is not None)
    folder = instance.cgroup()
    assert folder is not None
    stats = api.stats(instance.tag.name, stream=False)["memory_stats"]
    file = next(
        folder / name for name in ("memory.current", "memory.usage_in_bytes") if (folder / name).exists()
    )
    assert abs(int(file.read_text()) - stats["usage"]) < 2**20
    assert stats["limit"] == MEMORY


def test_processes_are_what_docker_top_shows(make: Make) -> None:
    instance = make(says("sleep 601 & sleep 602 & wait"))
    until(lambda: len(instance.processes().own) == 3)
    top = cli("top", instance.tag.name, "-o", "pid").split()[1:]
    seen = instance.processes()
    assert sorted(seen.own) == sorted(int(pid) for pid in top)
    helpers = {psutil.Process(pid).cmdline()[0].rpartition("/")[2] for pid in seen.helpers}
    assert helpers == {"containerd-shim-runc-v2"}
    assert {"dockerd"} <= {psutil.Process(pid).name() for pid in seen.shared} <= {"dockerd", "containerd"}


def test_the_port_proxy_is_a_helper_of_its_own_container(make: Make) -> None:
    one, two = make(SERVES), make(SERVES)
    for instance in (one, two):
        port = str(instance.endpoint(80)[1])
        proxies = [psutil.Process(pid).cmdline() for pid in instance.processes().helpers]
        proxies = [command for command in proxies if "docker-proxy" in command[0]]
        assert [command[command.index("-host-port") + 1] for command in proxies] == [port]
    assert not set(one.processes().helpers) & set(two.processes().helpers)
    assert set(one.processes().shared) == set(two.processes().shared)


@pytest.mark.real("root")
def test_disk_agrees_with_docker_and_du(make: Make) -> None:
    instance = make(WAITS)
    before = instance.disk()
    assert before.allocated is not None
    assert before.unique is not None
    written = 5 * 2**20
    assert instance.run(["dd", "if=/dev/zero", "of=/file", "bs=1M", "count=5"], timeout=TIME).returncode == 0
    os.sync()
    after = instance.disk()
    seen = json.loads(cli("inspect", "--size", instance.tag.name))[0]
    assert after.virtual == seen["SizeRootFs"]
    assert seen["SizeRw"] == written
    assert after.unique is not None
    assert after.allocated is not None
    assert written <= after.unique - before.unique <= written + 65536
    assert after.shared == before.shared
    assert after.allocated - before.allocated == after.unique - before.unique
    upper = Path(seen["GraphDriver"]["Data"]["UpperDir"])
    folders = [
        upper.parent,
        upper.parent.with_name(upper.parent.name + "-init"),
        Path(seen["LogPath"]).parent,
    ]
    du = subprocess.run(["du", "-sxB1", "-c", *folders], capture_output=True, text=True, check=True).stdout
    assert after.unique == int(du.splitlines()[-1].split()[0])


@pytest.mark.real("root")
def test_shared_is_the_image_and_close_to_what_docker_says(make: Make) -> None:
    instance = make(WAITS)
    shared = instance.disk().shared
    image = json.loads(cli("image", "inspect", json.loads(cli("inspect", instance.tag.name))[0]["Image"]))[0]
    assert shared is not None
    # Docker sums up bytes of content, blocks are rounded up to 4 KiB a file or folder.
    assert image["Size"] <= shared <= image["Size"] + 2**20


def test_the_kernel_and_the_engine_name_the_same_layers(make: Make, api: docker.APIClient) -> None:
    instance = make(WAITS)
    seen = api.inspect_container(instance.tag.name)
    told = docker_host._layers(seen, None)
    host = docker_host.HostSide(seen["Id"], seen["State"]["Pid"])
    found = docker_host._layers({**seen, "GraphDriver": None}, host)
    host.close()
    assert told is not None
    assert found == told


def test_describe_agrees_with_docker_info(backend: DockerBackend) -> None:
    facts = backend.describe()
    info = json.loads(cli("info", "--format", "{{json .}}"))
    assert facts["version"] == info["ServerVersion"]
    assert facts["storage_driver"] == info["Driver"]
    assert facts["cgroup_driver"] == info["CgroupDriver"]
    assert facts["cgroup_version"] == info["CgroupVersion"]
    assert facts["kernel"] == os.uname().release
    assert facts["local"] is True


def test_the_recorded_body_makes_the_same_container(
    backend: DockerBackend, make: Make, api: docker.APIClient
) -> None:
    instance = make(SERVES)
    body = json.loads(str(backend.prepare(SERVES).facts["create"]))
    other = api.create_container_from_config(body, f"{instance.tag.name}-by-hand")["Id"]  # type: ignore[no-untyped-call]
    try:
        ours, theirs = (api.inspect_container(one) for one in (instance.tag.name, other))
        assert theirs["HostConfig"] == ours["HostConfig"]
        assert {**theirs["Config"], "Labels": 0, "Hostname": 0} == {
            **ours["Config"],
            "Labels": 0,
            "Hostname": 0,
        }
    finally:
        api.remove_container(other)
