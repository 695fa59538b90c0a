"""Isolation on the real engines: against docker inspect, lsns, /proc and what the guest says of itself."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import docker
import pytest

from vmvc import confinement, host, owner, probes, registry
from vmvc.backends.docker import DockerBackend
from vmvc.backends.docker_client import DockerOptions
from vmvc.contract import Absent, Backend, Guest, Instance, MonotonicClock, Options, Scene, Tag
from vmvc.metrics.isolation import PROC_FILES, SYS_FILES, Isolation, confinement_of
from vmvc.spec import BUILT_IN_IMAGES, Exec, ReadyExec

pytestmark = [
    pytest.mark.real("docker", "root"),
    pytest.mark.timeout(180),
    pytest.mark.xdist_group("bare host"),
]

CLOCK = MonotonicClock()
GUEST = Guest(
    BUILT_IN_IMAGES["tiny"],
    cpus=1,
    memory=2**28,
    ready=ReadyExec(exec=Exec(command=("true",))),
    command=("sh", "-c", "while :; do sleep 1; done"),
)
NS = tuple(f"{name}_ns" for name in confinement.NAMESPACES)


def facts(instance: Instance) -> Mapping[str, float | str]:
    found = Isolation(Options()).observe(Scene({}, GUEST, instance, CLOCK))
    return {one.quantity: one.reason if isinstance(one, Absent) else one.value for one in found}


def live(backend: Backend) -> Iterator[Instance]:
    """Give a ready instance; it is gone afterwards."""
    backend.prepare(GUEST)
    instance = backend.instance(Tag(f"isolation-{secrets.token_hex(4)}", 1, owner.current()), GUEST)
    try:
        instance.create()
        instance.start()
        probes.wait(GUEST.ready, instance, None, CLOCK, CLOCK.now() + 90 * 10**9)
        yield instance
    finally:
        instance.destroy()
        backend.close()


def of_kind(kind: str) -> Iterator[Instance]:
    made = registry.backend_class(kind)
    yield from live(made(kind, made.options_model()))


@pytest.fixture(scope="module")
def container() -> Iterator[Instance]:
    yield from of_kind("docker")


@pytest.fixture(scope="module")
def machine() -> Iterator[Instance]:
    yield from of_kind("libvirt")


@pytest.fixture(scope="module")
def process() -> Iterator[Instance]:
    yield from of_kind("process")


@pytest.fixture
def api() -> Iterator[docker.APIClient]:
    client = docker.from_env()
    yield client.api
    client.close()


def lsns(pid: int) -> Mapping[str, int]:
    """Return kind -> number of each namespace of a process, as util-linux tells."""
    done = subprocess.run(
        ["lsns", "--json", "--output", "NS,TYPE", "--task", str(pid)],
        capture_output=True,
        text=True,
        check=True,
    )
    return {one["type"]: int(one["ns"]) for one in json.loads(done.stdout)["namespaces"]}


def test_a_containers_namespaces_are_those_that_lsns_shows(
    container: Instance, api: docker.APIClient
) -> None:
    found = facts(container)
    theirs = lsns(api.inspect_container(container.tag.name)["State"]["Pid"])
    ours = lsns(os.getpid())
    assert len(theirs) == len(NS)
    assert {name: found[f"{name}_ns"] for name in theirs} == {
        name: int(number != ours[name]) for name, number in theirs.items()
    }
    assert found["pid_ns"] == found["net_ns"] == found["mnt_ns"] == 1
    assert found["shares_kernel"] == 1


def test_a_containers_confinement_is_that_of_its_first_process(
    container: Instance, api: docker.APIClient
) -> None:
    found = facts(container)
    pid = api.inspect_container(container.tag.name)["State"]["Pid"]
    told = dict(
        line.split(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    assert found["seccomp"] == int(told["Seccomp"])
    assert found["no_new_privs"] == int(told["NoNewPrivs"])
    assert found["capabilities"] == bin(int(told["CapEff"], 16)).count("1")
    inside = container.run(["cat", "/proc/self/uid_map"], timeout=30).stdout.split()
    assert found["user_mapped"] == int(inside[1] != b"0")
    security = api.info().get("SecurityOptions") or ()
    assert found["lsm"] == int(any("apparmor" in one or "selinux" in one for one in security))


def test_a_container_sees_few_devices_and_writes_nothing_of_the_kernel(container: Instance) -> None:
    found = facts(container)
    listed = container.run(["ls", "-lR", "/dev"], timeout=30).stdout.splitlines()
    assert found["devices"] == sum(line[:1] in (b"b", b"c") for line in listed)
    assert (found["writable_sys"], found["writable_proc"]) == (0, 0)


PLAIN = {"pid_ns": 1, "ipc_ns": 1, "uts_ns": 1, "seccomp": 2, "no_new_privs": 0, "capabilities": 14}
DEVICE = {"PathOnHost": "/dev/kmsg", "PathInContainer": "/dev/one-more", "CgroupPermissions": "r"}


@pytest.mark.parametrize(
    ("differs", "expected"),
    [
        ({"PidMode": "host", "IpcMode": "host", "UTSMode": "host"}, {"pid_ns": 0, "ipc_ns": 0, "uts_ns": 0}),
        (
            {"CapDrop": ["ALL"], "SecurityOpt": ["no-new-privileges", "seccomp=unconfined"]},
            {"seccomp": 0, "no_new_privs": 1, "capabilities": 0},
        ),
        ({"CapAdd": ["SYS_ADMIN"]}, {"capabilities": 15}),
        ({"Devices": [DEVICE]}, {"devices": 8}),
    ],
    ids=lambda given: ",".join(given),
)
def test_each_thing_that_docker_is_told_shows(
    differs: Mapping[str, Any], expected: Mapping[str, int], container: Instance
) -> None:
    plain = {**PLAIN, "devices": facts(container)["devices"]}
    assert plain["devices"] == 7
    found = facts_of_docker_with(differs)
    assert {name: found[name] for name in plain} == {**plain, **expected}


def test_what_a_privileged_container_could_write_is_counted() -> None:
    found = facts_of_docker_with({"MaskedPaths": [], "ReadonlyPaths": [], "Binds": ["/sys:/sys:rw"]})
    # A container's /proc is mounted anew, without what the host has mounted below it.
    assert found["writable_proc"] == sum(_writable(name) for name in PROC_FILES if "binfmt" not in name)
    assert found["writable_sys"] == sum(_writable(name) for name in SYS_FILES)


def facts_of_docker_with(differs: Mapping[str, Any]) -> Mapping[str, float | str]:
    """Look at a container that was made with other settings than vmvc's own."""

    class Other(DockerBackend):
        def _body(self, guest: Guest, image: str, labels: Mapping[str, str]) -> Mapping[str, Any]:
            body = super()._body(guest, image, labels)
            return {**body, "HostConfig": {**body["HostConfig"], **differs}}

    for instance in live(Other("docker", DockerOptions())):
        return facts(instance)
    raise AssertionError


def test_a_container_without_a_shell_still_shows_what_the_host_sees(container: Instance) -> None:
    """The image is the same; only the way in is shut."""
    shut = {**facts(container), **confinement_of(container.processes().own[0], 1)}
    assert shut["seccomp"] == 2
    assert shut["pid_ns"] == 1


@pytest.mark.real("libvirt")
def test_a_machine_has_a_kernel_of_its_own(machine: Instance) -> None:
    found = facts(machine)
    inside = machine.run(["cat", "/proc/sys/kernel/random/boot_id"], timeout=30).stdout.decode().strip()
    assert inside != host.boot_id()
    assert found["shares_kernel"] == 0
    assert {found[name] for name in NS} == {1}
    assert found["hypervisor"] == 1
    (qemu,) = machine.processes().own
    told = confinement.status(qemu)
    assert isinstance(told, confinement.Status)
    assert found["capabilities"] == told.capabilities
    assert found["seccomp"] == told.seccomp
    assert found["user_mapped"] == int(Path(f"/proc/{qemu}").stat().st_uid != 0)
    listed = machine.run(["ls", "-lR", "/dev"], timeout=60).stdout.splitlines()
    assert found["devices"] == sum(line[:1] in (b"b", b"c") for line in listed)


def test_the_bare_host_keeps_nothing_apart_but_its_root(process: Instance) -> None:
    found = facts(process)
    assert found["shares_kernel"] == 1
    assert {name for name in NS if found[name]} == {"mnt_ns"}
    own = confinement.status(os.getpid())
    assert isinstance(own, confinement.Status)
    assert found["capabilities"] == own.capabilities
    assert found["user_mapped"] == 0
    assert found["writable_sys"] == sum(_writable(name) for name in SYS_FILES)
    assert found["writable_proc"] == sum(_writable(name) for name in PROC_FILES)


def _writable(name: str) -> bool:
    if not Path(name).is_file():
        return False
    try:
        os.close(os.open(name, os.O_WRONLY))
    except OSError:
        return False
    return True
