"""Engines on "another host": Docker and libvirt behind a real sshd, and Docker's API over TCP."""

from __future__ import annotations

import csv
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.command import VMVC, Said, vmvc
from tests.real import test_libvirt_machines
from tests.real.left import left_behind
from tests.real.own_sshd import ADDRESS, OwnSshd
from tests.real.virsh import virsh
from vmvc.backends.docker import DockerBackend
from vmvc.backends.docker_client import DockerOptions

pytestmark = [
    pytest.mark.real("docker", "sshd", "socat", "root"),
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("own libvirtd"),  # as of the other tests by SSH, which count clients
]

EXPERIMENT = """\
name: remote
backends:
  there: {{kind: docker, options: {{host: "{host}"}}}}
metrics:
  startup: {{}}
  shutdown: {{}}
  memory: {{settle: 100ms}}
  disk: {{}}
  work:
    kind: workload
    run:
      command: [echo, "7 points"]
      quantities: {{points: {{regex: '(\\d+) points', better: higher, says: Points.}}}}
trials: {{count: 2, warmup: 0, timeout: 60s}}
"""


@pytest.fixture(scope="module")
def sshd() -> Iterator[OwnSshd]:
    one = OwnSshd()
    yield one
    one.stop()


def measured(folder: Path, host: str, environment: dict[str, str] | None = None) -> tuple[Path, Said]:
    path = folder / "remote.yaml"
    path.write_text(EXPERIMENT.format(host=host))
    said = vmvc("run", path, cwd=folder, env=environment)
    assert said.code == 0, said.err
    (run,) = (folder / "results" / "remote").iterdir()
    assert left_behind(run.name) == []
    return run, said


def check(run: Path) -> None:
    """Fail where a value is missing that another host's engine tells, or one is there that it cannot tell."""
    with (run / "measurements.csv").open() as file:
        rows = list(csv.DictReader(file))
    values = {f"{row['metric']}.{row['quantity']}": row["value"] for row in rows}
    assert float(values["startup.ready"]) > float(values["startup.started"]) > 0
    assert float(values["shutdown.gone"]) > 0
    assert float(values["work.points"]) == 7
    about = json.loads((run / "run.json").read_text())
    codes = {finding["code"] for finding in about["findings"]}
    codes |= {one["code"] for backend in about["backends"].values() for one in backend.get("findings", ())}
    codes |= {one["code"] for condition in about["conditions"].values() for one in condition["findings"]}
    assert "docker.elsewhere" in codes, codes


def test_containers_of_an_engine_behind_ssh_are_measured(sshd: OwnSshd, tmp_path: Path) -> None:
    run, _ = measured(tmp_path, f"ssh://{sshd.address}", sshd.environment())
    check(run)


def test_so_are_those_of_one_behind_tcp(tmp_path: Path) -> None:
    with forwarded("/var/run/docker.sock") as port:
        run, _ = measured(tmp_path, f"tcp://{ADDRESS}:{port}")
        check(run)


def test_a_way_that_broke_is_opened_anew(sshd: OwnSshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", sshd.environment()["PATH"])
    backend = DockerBackend("there", DockerOptions(host=f"ssh://{sshd.address}"))
    before = set(ways())
    try:
        backend.leftovers()
        (client,) = set(ways()) - before
        client.kill()
        client.wait(10)
        backend.leftovers()
        assert len(set(ways()) - before) == 1
    finally:
        backend.close()
    assert set(ways()) == before


def test_a_run_goes_on_after_its_way_broke(sshd: OwnSshd, tmp_path: Path) -> None:
    path = tmp_path / "remote.yaml"
    path.write_text(EXPERIMENT.format(host=f"ssh://{sshd.address}").replace("count: 2", "count: 3"))
    before = set(ways())
    with subprocess.Popen(
        [VMVC, "run", path, "--quiet"],
        cwd=tmp_path,
        env=sshd.environment(),
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        while not any("trial" in journal.read_text() for journal in tmp_path.glob("**/journal.jsonl")):
            assert running.poll() is None
            time.sleep(0.05)
        (run,) = (tmp_path / "results" / "remote").iterdir()
        while len(trials_of(run)) < 1:
            time.sleep(0.02)
        (client,) = set(ways()) - before
        client.kill()
        _, err = running.communicate(timeout=200)
    outcomes = [one["outcome"] for one in trials_of(run)]
    # Each of three lives has a second one, without the workload; the one that was under way may be lost.
    assert len(outcomes) == 6, err
    assert outcomes.count("failed") <= 1, err
    assert outcomes[-1] == "measured", err
    assert "Traceback" not in err
    assert left_behind(run.name) == []


def trials_of(run: Path) -> list[dict[str, Any]]:
    lines = (run / "journal.jsonl").read_text().splitlines()
    return [one for one in map(json.loads, lines) if one["record"] == "trial"]


def ways() -> list[psutil.Process]:
    """Return the clients that lead to an engine's socket."""
    found = []
    for one in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # Others may end meanwhile.
            if one.status() != psutil.STATUS_ZOMBIE and "-L" in one.cmdline():
                found.append(one)
    return found


def test_an_engine_that_nobody_is_let_in_to_is_named(sshd: OwnSshd, tmp_path: Path) -> None:
    path = tmp_path / "remote.yaml"
    path.write_text(EXPERIMENT.format(host=f"ssh://{sshd.address}"))
    # Without the test's configuration ssh has no key that the daemon knows.
    said = vmvc("run", path, cwd=tmp_path)
    assert said.code == 3, said.err
    assert f"no Docker Engine answers at ssh://{sshd.address}" in said.err
    assert "hint: " in said.err


@contextmanager
def forwarded(path: str) -> Iterator[int]:
    """Give a TCP port that leads to a Unix socket."""
    with socket.socket() as one:
        one.bind((ADDRESS, 0))
        port = int(one.getsockname()[1])
    listens = f"TCP-LISTEN:{port},bind={ADDRESS},reuseaddr,fork"
    with subprocess.Popen(["socat", listens, f"UNIX-CONNECT:{path}"]) as socat:
        try:
            while not answers(port):
                assert socat.poll() is None
                time.sleep(0.05)
            yield port
        finally:
            socat.terminate()


def answers(port: int) -> bool:
    try:
        socket.create_connection((ADDRESS, port), 1).close()
    except OSError:
        return False
    return True


@pytest.mark.real("libvirtd")
def test_a_machine_of_a_libvirt_behind_ssh_is_measured_and_left(sshd: OwnSshd, tmp_path: Path) -> None:
    with ExitStack() as stack:
        xml, guest = test_libvirt_machines.TestQemu().made(stack)
        (tmp_path / "machine.xml").write_text(xml)
        virsh("define", str(tmp_path / "machine.xml"))
        try:
            before = virsh("dumpxml", "--inactive", str(guest.machine))
            uri = f"qemu+ssh://{sshd.address}/system?keyfile={sshd.key}&no_verify=1&no_tty=1"
            path = tmp_path / "far.yaml"
            path.write_text(
                f"name: far\nbackends:\n  far:\n    kind: libvirt\n    options: {{uri: {json.dumps(uri)}}}\n"
                f"    guest: {{machine: {guest.machine}, ready: {{console: {{pattern: machine is up}}}}}}\n"
                "metrics: {startup: {}, shutdown: {}, memory: {settle: 100ms}, disk: {}}\n"
                "trials: {count: 1, warmup: 0, timeout: 120s}\n"
            )
            said = vmvc("run", path, cwd=tmp_path)
            assert said.code == 0, said.err
            (run,) = (tmp_path / "results" / "far").iterdir()
            with (run / "measurements.csv").open() as file:
                values = {f"{row['metric']}.{row['quantity']}": row["value"] for row in csv.DictReader(file)}
            assert float(values["startup.ready"]) > 0
            assert float(values["shutdown.orderly"]) == 1
            assert float(values["disk.virtual"]) == 16 * 2**20
            # Of another host no process is seen: no number, and never 0.
            assert "memory.pss" not in values or not values["memory.pss"]
            assert "libvirt.api-only" in (run / "run.json").read_text()
            assert virsh("domstate", str(guest.machine)).strip() == "shut off"
            assert virsh("dumpxml", "--inactive", str(guest.machine)) == before
        finally:
            virsh("undefine", str(guest.machine))
