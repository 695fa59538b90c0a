"""Engines that an ordinary user runs without root: Podman's, and libvirt's daemon of the session."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import docker
import psutil
import pytest

from tests.real.test_docker_engines import OwnEngine
from tests.real.test_privilege import NOBODY, vmvc

PODMAN = """\
name: rootless
guest: {{memory: 64MiB}}
backends: {{podman: {{kind: docker, options: {{host: "{host}"}}}}}}
metrics: [startup, isolation, limits]
trials: {{count: 1, warmup: 0, timeout: 60s}}
"""
SESSION = """\
name: session
guest: {memory: 192MiB}
backends:
  session: {kind: libvirt, options: {uri: "qemu:///session"}}
  system: {kind: libvirt, options: {uri: "qemu:///system"}}
metrics: [startup, isolation]
trials: {count: 1, warmup: 0, timeout: 170s}
"""
_SCRIPT = """
set -eu
mount --make-rprivate /
mount --bind {folder}/ids /etc/subuid
mount --bind {folder}/ids /etc/subgid
mount --bind {folder}/tun /dev/net/tun
exec setpriv --reuid={user} --regid={user} --clear-groups podman system service --time=0 {host}
"""

pytestmark = [pytest.mark.timeout(580), pytest.mark.xdist_group("own engine")]


class RootlessPodman(OwnEngine):
    """Podman's service as nobody: with subordinate users of its own, in a mount namespace of its own."""

    mode = 0o666

    def command(self) -> list[str]:
        (self.folder / "containers.conf").write_text(
            '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
            '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
        )
        (self.folder / "ids").write_text(f"{NOBODY}:200000:65536\n")
        (self.folder / "run").mkdir(mode=0o700)
        for path in (self.folder, self.folder / "run"):
            os.chown(path, NOBODY, NOBODY)
        subprocess.run(["mknod", "-m", f"{self.mode:o}", self.folder / "tun", "c", "10", "200"], check=True)
        script = _SCRIPT.format(folder=self.folder, user=NOBODY, host=self.host)
        return ["unshare", "--mount", "sh", "-c", script]

    def environment(self) -> dict[str, str]:
        return {
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(self.folder),
            "XDG_RUNTIME_DIR": str(self.folder / "run"),
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
        }

    def stop(self) -> None:
        super().stop()
        end_all_of(self.folder / "run")


def end_all_of(home: Path) -> None:
    """End every process whose runtime folder this is."""
    for one in psutil.process_iter():
        with suppress(psutil.Error):
            if one.environ().get("XDG_RUNTIME_DIR") == str(home):
                one.kill()


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder of nobody's, where all parents can be passed."""
    path = Path(f"/var/tmp/vmvc-test-{secrets.token_hex(4)}")
    (path / "run").mkdir(parents=True, mode=0o700)
    for one in (path, path / "run"):
        os.chown(one, NOBODY, NOBODY)
    yield path
    end_all_of(path / "run")
    shutil.rmtree(path)


@contextmanager
def podman(mode: int) -> Iterator[RootlessPodman]:
    """Run the service; ``mode``: of the device by which its guests get their network."""
    RootlessPodman.mode = mode
    engine = RootlessPodman()
    try:
        yield engine
    finally:
        engine.stop()


def running(words: str) -> bytes:
    """Return the processes of nobody's with these words in their command lines."""
    found = subprocess.run(["pgrep", "-u", str(NOBODY), "-f", words], capture_output=True, check=False)
    return found.stdout


def only_trials(folder: Path, name: str) -> list[dict[str, Any]]:
    run = max(folder.glob(f"results/{name}/*"), key=lambda one: one.stat().st_mtime)
    lines = map(json.loads, (run / "journal.jsonl").read_text().splitlines())
    return [line for line in lines if line["record"] == "trial"]


def values_of(trial: dict[str, Any]) -> dict[str, float]:
    return {one["quantity"]: one["value"] for one in trial["readings"]}


@pytest.mark.real("podman", "rootless", "root")
def test_an_ordinary_user_measures_with_rootless_podman(folder: Path) -> None:
    with podman(0o666) as engine:
        (folder / "podman.yaml").write_text(PODMAN.format(host=engine.host))
        said = vmvc(folder, (), "run", "podman.yaml", "--plain")
        assert said.returncode == 0, said.stdout + said.stderr
        looked, tried = only_trials(folder, "rootless")
        assert values_of(looked)["ready"] > 0
        assert values_of(looked)["shares_kernel"] == 1
        if "keeps no limits" in said.stderr:
            reasons = {one["reason"] for one in tried["absent"] if one["metric"] == "limits"}
            assert any("keeps no limits" in reason for reason in reasons), reasons
            assert "memory_asked" not in values_of(tried)
        with closing(docker.DockerClient(base_url=engine.host)) as client:
            assert client.containers.list(all=True) == []


@pytest.mark.real("podman", "rootless", "root")
def test_the_device_that_rootless_podman_may_not_open_is_named(folder: Path) -> None:
    with podman(0o600) as engine:
        (folder / "podman.yaml").write_text(PODMAN.format(host=engine.host))
        said = vmvc(folder, (), "run", "podman.yaml", "--plain")
    assert said.returncode == 1, said.stderr
    failure = only_trials(folder, "rootless")[0]["failure"]
    assert "/dev/net/tun" in failure["reason"]
    assert "Permission denied" in failure["reason"]
    assert "sudo chmod 666 /dev/net/tun" in failure["hint"]


@pytest.mark.real("libvirt", "libvirtd", "root")
def test_an_ordinary_user_measures_with_the_daemon_of_the_session(folder: Path) -> None:
    """libvirt starts that daemon itself; the system's refuses such a user, and the right is named."""
    (folder / "session.yaml").write_text(SESSION)
    more = {"XDG_RUNTIME_DIR": str(folder / "run")}
    said = vmvc(folder, (), "run", "session.yaml", "--only", "session", "--plain", more=more)
    assert said.returncode == 0, said.stdout + said.stderr
    (trial,) = only_trials(folder, "session")
    values = values_of(trial)
    assert (values["shares_kernel"], values["user_mapped"], values["capabilities"]) == (0, 1, 0)
    about = json.loads(next(folder.glob("results/session/*/run.json")).read_text())
    assert about["backends"]["session"]["facts"]["uri"] == "qemu:///session"
    assert running("guest=vmvc-") == b""

    said = vmvc(folder, (), "run", "session.yaml", "--only", "system", more=more)
    assert said.returncode == 3, said.stderr
    assert "sudo usermod -aG libvirt $USER" in said.stderr
