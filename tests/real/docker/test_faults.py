"""Bad inputs, each on the real engine: one clear error with its remedy."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from tests.real.docker.guests import SERVES, WAITS, Make
from vmvc import owner
from vmvc.backends.docker import DockerBackend
from vmvc.backends.docker_client import DockerOptions
from vmvc.contract import Severity, Tag
from vmvc.errors import (
    CleanupError,
    EngineError,
    ImageError,
    InputError,
    StepFailed,
)
from vmvc.spec import (
    Console,
    DiskImage,
    OciImage,
    ReadyConsole,
)

pytestmark = pytest.mark.real("docker")


@pytest.mark.parametrize("host", ["unix:///run/vmvc-no-such.sock", "tcp://127.0.0.1:1"])
def test_an_engine_that_does_not_run(host: str) -> None:
    backend = DockerBackend("docker", DockerOptions(host=host))
    (finding,) = backend.check()
    assert finding.code == "docker.unreachable"
    assert finding.severity is Severity.ERROR
    assert host in finding.what
    assert finding.remedy
    assert backend.describe() == {}
    with pytest.raises(EngineError, match="no Docker Engine answers"):
        backend.prepare(SERVES)
    with pytest.raises(EngineError):
        backend.leftovers()
    with pytest.raises(CleanupError, match="not known"):
        backend.instance(Tag("r", 1, owner.current()), SERVES).destroy()


def test_docker_host_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/vmvc-no-such.sock")
    (finding,) = DockerBackend("docker", DockerOptions()).check()
    assert "/run/vmvc-no-such.sock" in finding.what


@pytest.mark.real("root")
def test_a_socket_without_permission(tmp_path: Path) -> None:
    """As another user, that is: one without root's power to pass by a socket's mode."""
    code = (
        "import sys; from vmvc.backends.docker import DockerBackend, DockerOptions;"
        "[print(f.code, f.remedy) for f in DockerBackend('docker', DockerOptions(host=sys.argv[1])).check()]"
    )
    path = tmp_path / "docker.sock"
    bare = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        path.chmod(0)
        done = subprocess.run(
            [*bare, sys.executable, "-c", code, f"unix://{path}"], capture_output=True, text=True, check=False
        )
    assert done.stdout.startswith("docker.permission"), done.stderr
    assert "usermod -aG docker" in done.stdout


def test_a_command_that_is_not_in_the_image(make: Make) -> None:
    with pytest.raises(StepFailed, match=r"no-such-program.*executable file not found") as failed:
        make(replace(WAITS, command=("no-such-program",)))
    assert "guest.command" in failed.value.hint


def test_a_command_that_is_not_a_program(make: Make) -> None:
    with pytest.raises(StepFailed, match="permission denied"):
        make(replace(WAITS, command=("/etc/passwd",)))


def test_an_image_that_is_missing(backend: DockerBackend, make: Make) -> None:
    with pytest.raises(ImageError, match="vmvc-no-such-image"):
        make(replace(WAITS, image=OciImage(oci="vmvc-no-such-image:x")))


def test_an_image_that_was_removed_after_prepare(
    backend: DockerBackend, api: docker.APIClient, derived: Callable[..., OciImage]
) -> None:
    guest = replace(WAITS, image=derived("ENV A=b"))
    image = str(backend.prepare(guest).facts["image"])
    api.remove_image(image, force=True)
    instance = backend.instance(Tag("r", 1, owner.current()), guest)
    try:
        with pytest.raises(ImageError, match="No such image"):
            instance.create()
    finally:
        instance.destroy()


def test_a_disk_image_is_for_machines(backend: DockerBackend) -> None:
    with pytest.raises(InputError, match="virtual machine"):
        backend.prepare(replace(WAITS, image=DiskImage(disk="x.qcow2")))


def test_too_little_memory(make: Make) -> None:
    with pytest.raises(StepFailed, match="Minimum memory limit") as failed:
        make(replace(WAITS, memory=2**20))
    assert failed.value.hint == "raise guest.memory"


def test_too_many_cpus(make: Make, backend: DockerBackend) -> None:
    guest = replace(WAITS, cpus=1024)
    assert [finding.code for finding in backend.prepare(guest).findings] == ["docker.cpus"]
    with pytest.raises(StepFailed, match="Range of CPUs") as failed:
        make(guest)
    assert failed.value.hint == "lower guest.cpus"


def test_an_unknown_runtime(make: Make) -> None:
    backend = DockerBackend("docker", DockerOptions(runtime="vmvc-no-such"))
    (finding,) = [one for one in backend.check() if one.severity is Severity.ERROR]
    assert finding.code == "docker.runtime-unknown"
    assert "runc" in finding.what
    with pytest.raises(EngineError, match=r"[Uu]nknown runtime"):
        make(WAITS, on=backend)
    backend.close()


def test_an_unknown_network(make: Make) -> None:
    backend = DockerBackend("docker", DockerOptions(network="vmvc-no-such"))
    (finding,) = [one for one in backend.check() if one.severity is Severity.ERROR]
    assert finding.code == "docker.network-unknown"
    with pytest.raises(StepFailed, match=r"network vmvc-no-such not found"):
        make(WAITS, on=backend)
    backend.close()


def test_findings_about_the_guest(backend: DockerBackend) -> None:
    guest = replace(WAITS, boot="systemd", memory=2**50, ready=ReadyConsole(console=Console(pattern="x")))
    codes = {finding.code for finding in backend.prepare(guest).findings}
    assert codes == {"docker.boot", "docker.memory", "docker.console-lines"}
