"""Other engines and runtimes behind the Docker API: Podman, and runtimes on an engine of the tests' own."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest

from vmvc.backends.docker import DockerBackend
from vmvc.backends.docker_client import DockerOptions
from vmvc.contract import Backend, Guest, MonotonicClock, Options, Reading, Scene, Severity
from vmvc.errors import EngineError
from vmvc.metrics.isolation import Isolation
from vmvc.spec import BUILT_IN_IMAGES, Http, ReadyHttp
from vmvc.testing import BackendContract

pytestmark = pytest.mark.xdist_group("own engine")
HEEDS = "trap 'kill $!; exit 0' TERM; httpd -f -p 80 -h /www & wait $!"
"""As process 1 the web server would ignore the stop signal: a shell that heeds it stands before it."""
TINY = Guest(
    BUILT_IN_IMAGES["tiny"], 1, 128 * 2**20, ReadyHttp(http=Http(port=80)), command=("sh", "-c", HEEDS)
)


class OwnEngine:
    """An engine of the tests' own, beside whatever runs on the host; ``stop`` ends it and all of it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="vmvc-engine-"))
        self.socket = self.folder / "engine.sock"
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment()
            )
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self._process.poll() is None, (self.folder / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, (self.folder / "log").read_text()[-2000:]
            time.sleep(0.1)

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    @property
    def host(self) -> str:
        return f"unix://{self.socket}"

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for one in psutil.process_iter(["cmdline"]):
            if any(str(self.folder) in word for word in one.info["cmdline"] or ()):
                with suppress(psutil.Error):
                    one.kill()
        for mount in sorted(_mounts_below(self.folder), reverse=True):
            subprocess.run(["umount", "-l", mount], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        with suppress(OSError), closing(socket.socket(socket.AF_UNIX)) as one:
            one.connect(str(self.socket))
            return True
        return False


class OwnPodman(OwnEngine):
    """Podman's service; without systemd it needs its own cgroups, and no more files than this host allows."""

    def command(self) -> list[str]:
        limits = '["nofile=1024:1024", "nproc=1024:1024"]'
        (self.folder / "containers.conf").write_text(
            f"[containers]\ndefault_ulimits = {limits}\n"
            '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
        )
        places = [f"--{name}={self.folder / name}" for name in ("root", "runroot", "tmpdir")]
        return ["podman", *places, "system", "service", "--time=0", self.host]

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "CONTAINERS_CONF": str(self.folder / "containers.conf")}


class OwnDocker(OwnEngine):
    """Docker Engine with more runtimes: runsc, one that is not there, and crun."""

    def command(self) -> list[str]:
        host = ["--platform=ptrace", "--network=host"]
        runtimes = {
            "runsc": {"path": shutil.which("runsc"), "runtimeArgs": host},
            **({"crun": {"path": shutil.which("crun")}} if shutil.which("crun") else {}),
            "kata": {"path": "/usr/bin/kata-runtime-that-is-not-there"},
            "refuses": {"path": shutil.which("false")},
        }
        (self.folder / "daemon.json").write_text(json.dumps({"runtimes": runtimes}))
        self.bridge = f"vmvct{secrets.token_hex(3)}"
        for arguments in (
            ("link", "add", "name", self.bridge, "type", "bridge"),
            ("addr", "add", "172.31.251.1/24", "dev", self.bridge),
            ("link", "set", self.bridge, "up"),
        ):
            subprocess.run(["ip", *arguments], check=True)
        off = [f"--{name}=false" for name in ("iptables", "ip6tables", "ip-forward", "ip-masq")]
        places = [
            "--data-root",
            "data",
            "--exec-root",
            "exec",
            "--pidfile",
            "pid",
            "--config-file",
            "daemon.json",
        ]
        named = [str(self.folder / one) if index % 2 else one for index, one in enumerate(places)]
        with closing(socket.socket()) as one:
            one.bind(("127.0.0.1", 0))
            self.tcp = f"tcp://127.0.0.1:{one.getsockname()[1]}"
        return [
            "dockerd",
            *named,
            "--host",
            self.host,
            "--host",
            self.tcp,
            "--tls=false",
            f"--bridge={self.bridge}",
            *off,
        ]

    def stop(self) -> None:
        super().stop()
        subprocess.run(["ip", "link", "delete", self.bridge], check=False)


def _mounts_below(folder: Path) -> list[str]:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [one for line in lines if (one := line.split()[1]).startswith(f"{folder}/")]


class Engines(BackendContract):
    """The contract on an engine of the tests' own."""

    timeout = 60.0
    engine_type: ClassVar[type[OwnEngine]]
    engine: ClassVar[OwnEngine]
    runtime: ClassVar[str | None] = None

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _own_engine(cls) -> Iterator[None]:
        cls.engine = cls.engine_type()
        try:
            yield
            cls.teardown_class()
        finally:
            cls.engine.stop()

    def backend(self, **more: Any) -> Backend:
        return DockerBackend("dk", DockerOptions(host=self.engine.host, runtime=self.runtime, **more))

    def guest(self) -> Guest:
        return TINY

    def shows(self, variable: str) -> Sequence[str]:
        return ("sh", "-c", f'echo "${variable}"')


KEPT = frozenset(
    {
        "test_check_finds_that_it_runs_here",
        "test_a_life",
        "test_another_object_destroys_by_the_tag",
        "test_the_console_shows_what_the_guest_prints",
        "test_run_passes_every_argument_as_given",
        "test_run_carries_bytes_in_and_out",
        "test_run_says_127_where_there_is_no_such_command",
        "test_processes_exist",
        "test_the_cgroup_is_a_folder_with_memory_files",
        "test_disk_gives_bytes_or_reasons",
        "test_an_endpoint_stays_the_same",
    }
)
"""Tests of the contract that another engine may fail where Docker does not; all of them take minutes."""

for _name in [name for name in dir(BackendContract) if name.startswith("test_") and name not in KEPT]:
    setattr(Engines, _name, None)


@pytest.mark.real("docker", "podman", "root")
class TestPodman(Engines):
    engine_type = OwnPodman
    has_forget = True
    test_an_image_that_was_removed_comes_back = BackendContract.test_an_image_that_was_removed_comes_back


@pytest.mark.real("docker", "runsc", "root")
class TestRuntimes(Engines):
    """gVisor's runsc keeps the contract; what the others refuse is told before the first trial."""

    engine_type = OwnDocker
    runtime = "runsc"

    def test_gvisor_has_a_kernel_of_its_own(self) -> None:
        instance = self._ready()
        scene = Scene({}, TINY, instance, MonotonicClock())
        found = {
            one.quantity: one.value for one in Isolation(Options()).observe(scene) if isinstance(one, Reading)
        }
        assert found["shares_kernel"] == 0

    def test_the_same_engine_answers_over_tcp(self) -> None:
        assert isinstance(self.engine, OwnDocker)
        backend = DockerBackend("dk", DockerOptions(host=self.engine.tcp, runtime="runsc"))
        assert not [one for one in backend.check() if one.severity is Severity.ERROR]
        assert backend.describe()["address"] == self.engine.tcp
        with self._instance(backend, TINY) as (_, instance):
            self._bring_up(instance)
            assert instance.processes().own
            instance.stop(timeout=self.timeout)

    def test_a_runtime_that_is_not_registered_or_not_there_is_a_finding(self) -> None:
        for runtime, code in (("runcs", "docker.runtime-unknown"), ("kata", "docker.runtime-missing")):
            backend = DockerBackend("dk", DockerOptions(host=self.engine.host, runtime=runtime))
            errors = [one for one in backend.check() if one.severity is Severity.ERROR]
            assert [one.code for one in errors] == [code]
            assert errors[0].remedy
            backend.close()

    def test_a_runtime_that_refuses_the_guest_is_told_before_the_first_trial(self) -> None:
        """A runtime that fails at once, and crun where this host has both versions of cgroups."""
        refusals = {"refuses": "does not start the guest"}
        if shutil.which("crun") and Path("/sys/fs/cgroup/unified").is_dir():
            refusals["crun"] = "hybrid mode not supported"
        for runtime, said in refusals.items():
            backend = DockerBackend("dk", DockerOptions(host=self.engine.host, runtime=runtime))
            with pytest.raises(EngineError) as refused:
                backend.prepare(TINY)
            assert said in refused.value.what
            assert refused.value.hint
            assert not [one for one in backend.leftovers() if one.tag.run.startswith("rehearsal")]
            backend.close()
