"""vmvc asks for no more than it needs: it measures as nobody, and guests get only what the file names."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

import docker
import psutil
import pytest

from tests.real.test_libvirt import SYSTEM, WEB, instance_of
from tests.real.virsh import virsh
from vmvc import owner
from vmvc.backends.docker import DockerBackend
from vmvc.backends.docker_client import DockerOptions
from vmvc.backends.libvirt import LibvirtOptions
from vmvc.contract import Tag

ROOT = Path(__file__).parent.parent.parent
NOBODY = 65534
EXPERIMENT = """\
name: small
backends: [docker, libvirt]
metrics: {startup: {}, isolation: {}, memory: {settle: 1s}}
trials: {count: 1, warmup: 0, timeout: 170s}
"""
SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "planted-a3f81",
    "GITHUB_TOKEN": "planted-77c0e",
    "DATABASE_URL": "postgres://me:planted-5d21b@db/x",
    "VMVC_SOMETHING": "planted-0b9aa",
}


def python() -> list[str]:
    """Return a Python that nobody may execute: this one, or the system's of the same version."""
    for path in (sys.executable, f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}"):
        command = [*as_nobody(()), "env", path, "-c", ""]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return [path]
    pytest.skip("no Python here that an unprivileged user may execute")


def as_nobody(groups: tuple[int, ...]) -> list[str]:
    """Return a command's beginning that drops every right but these groups."""
    joined = ["--groups", ",".join(map(str, groups))] if groups else ["--clear-groups"]
    ids = [f"--reuid={NOBODY}", f"--regid={NOBODY}", *joined]
    return ["setpriv", *ids, "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--"]


def vmvc(
    folder: Path, groups: tuple[int, ...], *arguments: str, more: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {
        **(more or {}),
        "PATH": "/usr/bin:/bin:/usr/sbin",
        "HOME": str(folder),
        "PYTHONPATH": f"{ROOT}:{sysconfig.get_path('platlib')}",
        "PYTHONDONTWRITEBYTECODE": "1",
        **{f"VMVC_{name.upper()}": str(folder / name) for name in ("cache", "lock", "state")},
        **SECRETS,
    }
    command = [*as_nobody(groups), *python(), "-c", "from vmvc.cli import main; main()", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=550, check=False
    )


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder of nobody's, where all parents can be passed."""
    path = Path(f"/var/tmp/vmvc-test-{secrets.token_hex(4)}")
    path.mkdir()
    (path / "e.yaml").write_text(EXPERIMENT)
    os.chown(path, NOBODY, NOBODY)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def measured(folder: Path) -> subprocess.CompletedProcess[str]:
    """A run by nobody, with the right to use Docker only."""
    return vmvc(folder, (Path("/var/run/docker.sock").stat().st_gid,), "run", "e.yaml", "--plain")


@pytest.mark.real("docker", "libvirt", "root")
@pytest.mark.timeout(600)
def test_nobody_measures_a_container_and_a_machine(
    folder: Path, measured: subprocess.CompletedProcess[str]
) -> None:
    assert measured.returncode == 0, measured.stdout + measured.stderr
    journal = next(folder.glob("results/small/*/journal.jsonl"))
    trials = [json.loads(line) for line in journal.read_text().splitlines()[1:]]
    assert {one["backend"]: one["outcome"] for one in trials} == {"docker": "measured", "libvirt": "measured"}
    absent = {one["reason"] for trial in trials for one in trial["absent"]}
    assert "seeing the namespaces of another user's process needs root or CAP_SYS_PTRACE" in absent


@pytest.mark.real("docker", "libvirt", "root")
def test_memory_of_another_users_processes_says_which_right_it_needs_and_what_is_left(
    folder: Path, measured: subprocess.CompletedProcess[str]
) -> None:
    """A container's processes are root's, a machine's are one's own."""
    assert measured.returncode == 0
    journal = next(folder.glob("results/small/*/journal.jsonl"))
    trials = {one["backend"]: one for one in map(json.loads, journal.read_text().splitlines()[1:])}
    reasons = {
        one["quantity"]: one["reason"] for one in trials["docker"]["absent"] if one["metric"] == "memory"
    }
    for name in ("pss", "uss"):
        assert "needs root or CAP_SYS_PTRACE; resident memory is still measured" in reasons[name]
    found = {
        backend: {one["quantity"]: one["value"] for one in trial["readings"] if one["metric"] == "memory"}
        for backend, trial in trials.items()
    }
    assert found["docker"]["rss"] > 0
    assert found["docker"]["cgroup_current"] > 0
    assert 0 < found["libvirt"]["uss"] <= found["libvirt"]["pss"] <= found["libvirt"]["rss"]


@pytest.mark.real("docker", "libvirt", "root")
def test_no_secret_of_the_environment_is_in_anything_that_is_left(
    folder: Path, measured: subprocess.CompletedProcess[str]
) -> None:
    said = vmvc(folder, (), "bundle", "results/small", "--output", "a.zip")
    assert said.returncode == 0, said.stderr
    shutil.unpack_archive(folder / "a.zip", folder / "unpacked")
    left = measured.stdout + measured.stderr
    assert "planted-" not in left
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 30
    assert [path for path in files if b"planted-" in path.read_bytes()] == []


@pytest.mark.real("docker", "libvirt", "root")
def test_nobody_else_can_write_what_is_left(folder: Path, measured: subprocess.CompletedProcess[str]) -> None:
    assert measured.returncode == 0
    loose = [path for path in folder.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o002]
    assert loose == [folder / "lock"]  # of all users of the host, so that one of them measures at a time


@pytest.mark.real("docker", "root")
def test_the_right_that_is_missing_is_named(folder: Path) -> None:
    said = vmvc(folder, (), "run", "e.yaml", "--only", "docker")
    assert said.returncode == 3, said.stderr
    assert "docker" in said.stderr
    assert "permission" in said.stderr.lower()
    assert "hint: " in said.stderr


@pytest.mark.real("docker")
def test_a_container_gets_nothing_that_the_file_does_not_name() -> None:
    backend = DockerBackend("docker", DockerOptions())
    client = docker.from_env()
    backend.prepare(WEB)
    instance = backend.instance(Tag(f"test-{secrets.token_hex(4)}", 1, owner.current()), WEB)
    try:
        instance.create()
        instance.start()
        about = client.containers.get(instance.tag.name).attrs
        host = about["HostConfig"]
        assert not host["Privileged"]
        for given in (
            "Binds",
            "Devices",
            "DeviceRequests",
            "CapAdd",
            "VolumesFrom",
            "GroupAdd",
            "ExtraHosts",
        ):
            assert not host[given], given
        for own in ("PidMode", "UTSMode", "UsernsMode"):
            assert host[own] != "host", own
        assert host["IpcMode"] in ("private", "shareable")
        assert about["Mounts"] == []
        assert list(about["NetworkSettings"]["Networks"]) == ["bridge"]
        bound = [one for ports in about["NetworkSettings"]["Ports"].values() for one in ports or ()]
        assert {one["HostIp"] for one in bound} == {"127.0.0.1"}
    finally:
        instance.destroy()
        client.close()


DEVICES: Mapping[str, int] = {
    "interface": 1,
    "serial": 1,
    "console": 1,
    "rng": 1,
    "channel": 1,
    "emulator": 1,
}
"""What a machine may have, and how many; a disk where its image is one, and controllers for all of it."""


@pytest.mark.real("libvirt", "libvirtd")
@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    "options", [SYSTEM, LibvirtOptions(accelerator="tcg", uri="qemu:///embed")], ids=["system", "own"]
)
def test_a_machine_gets_nothing_that_the_file_does_not_name(options: LibvirtOptions) -> None:
    with instance_of(options, WEB) as instance:
        instance.create()
        instance.start()
        assert instance.endpoint(80)[0] == "127.0.0.1"
        (pid,) = instance.processes().own
        sockets = psutil.Process(pid).net_connections(kind="inet")
        assert {one.laddr[0] for one in sockets if one.status == psutil.CONN_LISTEN} == {"127.0.0.1"}
        if options is SYSTEM:
            devices = ElementTree.fromstring(virsh("dumpxml", instance.tag.name)).find("devices")
            assert devices is not None
            names = [
                one.tag for one in devices if one.tag not in ("controller", "audio", "memballoon", "input")
            ]
            assert {name: names.count(name) for name in names}.items() <= DEVICES.items()
            assert [one.get("type") for one in devices.iter("interface")] == ["user"]
            for forbidden in ("filesystem", "hostdev", "graphics", "redirdev", "shmem"):
                assert devices.find(forbidden) is None
        for path in folders_of(instance.tag.name):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700, path


def folders_of(name: str) -> tuple[Path, Path]:
    """Return the folder of a running machine's files, and that of its sockets."""
    cache = Path(os.environ.get("VMVC_CACHE") or Path.home() / ".cache" / "vmvc")
    folder = cache / "instances" / name
    return folder, Path(json.loads((folder / "tag.json").read_bytes())["sockets"])
