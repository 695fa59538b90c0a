"""A sweep for what dead runs left, beside 1,000 containers of others, against a bare client's list."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import docker
import pytest
from docker.errors import NotFound

from tests.bench.pairs import measure, show
from vmvc.backends.docker import DockerBackend
from vmvc.backends.docker_client import DockerOptions
from vmvc.contract import Guest, MonotonicClock
from vmvc.engines import sweep
from vmvc.spec import BUILT_IN_IMAGES, Exec, ReadyExec
from vmvc.watching import Silent
from vmvc.worker import Worker

COUNT = 1000
CLOCK = MonotonicClock()
LABELS: tuple[dict[str, str], ...] = ({}, {"vmvc": "image"}, {"com.docker.compose.project": "other"})


@pytest.fixture
def foreign() -> Iterator[docker.DockerClient]:
    """Create them, never started; remove them whatever happens."""
    prepared = DockerBackend("docker", DockerOptions()).prepare(
        Guest(BUILT_IN_IMAGES["tiny"], 1, 2**26, ReadyExec(exec=Exec(command=("true",))))
    )
    image, word = str(prepared.facts["image"]), f"foreign-{secrets.token_hex(3)}"
    made: list[str] = []
    with closing(docker.from_env(timeout=120)) as client:
        try:
            for number in range(COUNT):
                labels = LABELS[number % len(LABELS)]
                one = client.api.create_container(image, ["true"], name=f"{word}-{number}", labels=labels)
                made.append(one["Id"])
            yield client
        finally:
            for identity in made:
                with suppress(NotFound):
                    client.api.remove_container(identity, force=True)


@pytest.mark.real("docker")
@pytest.mark.timeout(1800)
def bench_sweep_beside_a_thousand(foreign: docker.DockerClient, tmp_path: Path) -> None:
    backend = DockerBackend("docker", DockerOptions())
    worker = Worker(tmp_path / "worker.log")
    worker.call("leftovers", backend, timeout=60)  # Starts the process and opens the connection.

    def ours() -> float:
        begun = CLOCK.now()
        sweep([backend], worker, Silent())
        return (CLOCK.now() - begun) / 1e9

    def bare() -> float:
        begun = CLOCK.now()
        assert len(foreign.api.containers(all=True)) >= COUNT
        return (CLOCK.now() - begun) / 1e9

    try:
        pairs = measure(ours, bare, 20)
    finally:
        worker.close()
    show(f"a sweep beside {COUNT} containers of others / a bare client's list of them", pairs, "under 1 s")
