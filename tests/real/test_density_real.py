"""Fleets on the real engines: known bytes, every member gone, whatever happens in the middle."""

from __future__ import annotations

import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import docker
import psutil
import pytest

from tests.command import VMVC, vmvc
from vmvc import owner, registry
from vmvc.backends.docker import DockerBackend
from vmvc.backends.docker_client import DockerOptions
from vmvc.backends.docker_instance import DockerInstance
from vmvc.contract import Backend, Guest, MonotonicClock, Tag
from vmvc.job import Job, Outcome
from vmvc.metrics.density import Density, DensityOptions
from vmvc.spec import BUILT_IN_IMAGES, Exec, Http, ReadyExec, ReadyHttp
from vmvc.trial import Trial

pytestmark = [pytest.mark.real("docker", "root"), pytest.mark.timeout(300), pytest.mark.quiet]

MIB = 2**20
HELD = 48 * MIB
HOLDS = (
    f"dd if=/dev/zero of=/dev/shm/x bs=1M count={HELD // MIB} && touch /ready && while :; do sleep 1; done"
)


def guest(script: str) -> Guest:
    ready = ReadyExec(exec=Exec(command=("test", "-e", "/ready"), interval=0.05))
    return Guest(BUILT_IN_IMAGES["tiny"], 1, 256 * MIB, ready, command=("sh", "-c", script))


def made(kind: str, **options: object) -> Backend:
    found = registry.backend_class(kind)
    return found(kind, found.options_model.model_validate(options))


def live(backend: Backend, asked: Guest, timeout: float = 90.0, **options: object) -> Outcome:
    """Run a whole trial of density; nothing with its tag is left after it."""
    tag = Tag(f"density-{secrets.token_hex(4)}", 1, owner.current())
    metric = Density(DensityOptions.model_validate({"settle": "500ms", "idle": "1s", **options}))
    try:
        backend.prepare(asked)
        job = Job(tag, backend, asked, (metric,), timeout, 10.0)
        outcome = Trial(job, lambda step, seconds: None, MonotonicClock()).run()
        assert outcome.cleanup is None
        assert [one.tag for one in backend.leftovers() if one.tag.same_trial(tag)] == []
        return outcome
    finally:
        backend.close()


def values(outcome: Outcome) -> dict[str, float]:
    assert outcome.failure is None, outcome.failure
    return {one.quantity: one.value for _, one in outcome.readings}


def why(outcome: Outcome) -> str:
    (finding,) = [one for one in outcome.findings if one.code == "density.stopped"]
    return finding.what


def test_the_slope_of_containers_is_what_each_of_them_holds() -> None:
    """Others use the host too, so one quiet moment in three is enough."""
    seen = []
    for _ in range(3):
        found = values(live(made("docker"), guest(HOLDS), instances=7))
        assert found["instances"] == 7
        seen.append(found["memory_slope"] / MIB)
        if HELD / MIB < seen[-1] < HELD / MIB + 20:
            break
    else:
        pytest.fail(f"slopes in MiB, each holds {HELD / MIB}: {seen}")
    assert found["memory_slope_low"] <= found["memory_slope"] <= found["memory_slope_high"]
    assert 0 < found["first_ready"] < 30
    assert 0 < found["nth_ready"] < 30
    assert 0 < found["idle_cpu"] < 1
    assert found["disk_slope"] > 0
    room = psutil.virtual_memory().available - max(2**30, psutil.virtual_memory().total / 10)
    assert found["capacity"] == pytest.approx(room / found["memory_slope"], rel=0.2, abs=8)


def test_a_burst_of_containers_is_whole_and_counts_their_disks() -> None:
    script = "dd if=/dev/urandom of=/file bs=1M count=8 && touch /ready && while :; do sleep 1; done"
    found = values(live(made("docker"), guest(script), instances=5, concurrency=4))
    assert found["instances"] == 5
    assert found["disk_slope"] == pytest.approx(8 * MIB, abs=MIB)


def test_a_container_that_fails_in_the_middle_ends_growth_and_all_are_removed() -> None:
    class Planted(DockerBackend):
        def instance(self, tag: Tag, guest: Guest) -> DockerInstance:
            one = super().instance(tag, guest)
            if tag.member == 4:
                one._body = {**(one._body or {}), "Entrypoint": ["/no/such/program"]}
            return one

    outcome = live(
        Planted("docker", DockerOptions()), guest("touch /ready; while :; do sleep 1; done"), instances=8
    )
    assert values(outcome)["instances"] == 3
    assert "growth ended at 3 instances: instance 4 failed in start: Docker would not" in why(outcome)


@pytest.mark.real("libvirt")
@pytest.mark.parametrize("concurrency", [1, 2])
def test_machines_are_a_fleet_too(concurrency: int) -> None:
    asked = replace(guest("touch /ready; while :; do sleep 1; done"), memory=128 * MIB)
    outcome = live(made("libvirt"), asked, instances=3, concurrency=concurrency)
    found = values(outcome)
    assert found["instances"] == 3, why(outcome)
    assert found["memory_slope"] > 20 * MIB
    assert 0 < found["idle_cpu"] < 2


def test_processes_are_a_fleet_too() -> None:
    outcome = live(
        made("process"), guest("touch /ready; while :; do sleep 1; done"), instances=6, concurrency=5
    )
    assert values(outcome)["instances"] == 6, why(outcome)


def test_processes_that_want_one_port_are_a_fleet_of_one() -> None:
    asked = replace(guest("httpd -f -p 8099 -h /www"), ready=ReadyHttp(http=Http(port=8099)))
    outcome = live(made("process"), asked, instances=4)
    assert values(outcome)["instances"] == 1
    assert "instance 2 failed in create: " in why(outcome)
    assert "8099" in why(outcome)


# --- killed in the middle ---------------------------------------------------------------------------------

FLEET = """\
name: fleet
backends: [docker]
guest:
  command: [/bin/sh, -c, "touch /ready; while :; do sleep 1; done"]
  ready: {exec: {command: [test, -e, /ready]}}
metrics:
  density: {instances: 30, concurrency: 3, settle: 200ms, idle: 0s}
trials: {count: 1, warmup: 0, timeout: 60s}
"""


@pytest.fixture
def containers(tmp_path: Path) -> Iterator[Callable[[], list[str]]]:
    """Give a look at the containers of the run in ``tmp_path``; none of them is left after the test."""
    client = docker.from_env()

    def look() -> list[str]:
        runs = list(tmp_path.glob("results/fleet/*"))
        found = client.containers.list(all=True, filters={"label": "vmvc=instance"}, ignore_removed=True)
        names = [one.name or "" for one in found]
        return [name for name in names if any(run.name in name for run in runs)]

    yield look
    for name in look():
        client.containers.get(name).remove(force=True)
    client.close()


def until(condition: Callable[[], bool], seconds: float = 90.0) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_ended_in_the_middle_removes_its_containers(
    tmp_path: Path, containers: Callable[[], list[str]], number: signal.Signals
) -> None:
    (tmp_path / "fleet.yaml").write_text(FLEET)
    with subprocess.Popen([VMVC, "run", "fleet.yaml", "--quiet"], cwd=tmp_path) as running:
        until(lambda: len(containers()) >= 5)
        running.send_signal(number)
        assert running.wait() in (130, -signal.SIGKILL)
    until(lambda: not containers())


def test_when_every_process_is_killed_clean_removes_the_containers(
    tmp_path: Path, containers: Callable[[], list[str]]
) -> None:
    (tmp_path / "fleet.yaml").write_text(FLEET)
    with subprocess.Popen([VMVC, "run", "fleet.yaml", "--quiet"], cwd=tmp_path) as running:
        until(lambda: len(containers()) >= 5)
        family = [*psutil.Process(running.pid).children(recursive=True), psutil.Process(running.pid)]
        for one in family:
            one.suspend()
        for one in family:
            one.kill()
        running.wait()
    left = containers()
    assert len(left) >= 5
    said = vmvc("clean", "fleet.yaml", cwd=tmp_path)
    assert said.code == 0, said.err
    assert {name for name in left if f"{name}: removed, its run is dead" in said.out} == set(left)
    assert containers() == []
