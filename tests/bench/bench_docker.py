"""Docker create + start as vmvc reports it, against a hand-written client on the Engine's socket."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.bench.pairs import measure, show
from vmvc.backends.docker import DockerBackend
from vmvc.contract import Guest, Tag
from vmvc.job import Job, Outcome
from vmvc.owner import current
from vmvc.spec import BUILT_IN_IMAGES, Http, ReadyHttp
from vmvc.worker import Worker

GUEST = Guest(image=BUILT_IN_IMAGES["tiny"], cpus=1, memory=256 * 2**20, ready=ReadyHttp(http=Http(port=80)))


class Engine(http.client.HTTPConnection):
    """The floor: one kept-alive connection, two POSTs, nothing else."""

    def __init__(self) -> None:
        super().__init__("localhost")

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/var/run/docker.sock")

    def ask(self, method: str, path: str, body: object = None) -> bytes:
        data = None if body is None else json.dumps(body)
        self.request(method, path, data, {"Content-Type": "application/json"})
        return self.getresponse().read()


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    made = Worker(tmp_path / "worker.log")
    yield made
    made.close()


@pytest.mark.real("docker")
def bench_create_and_start(worker: Worker) -> None:
    backend = DockerBackend("docker", DockerBackend.options_model())
    facts = worker.call("prepare", backend, GUEST, timeout=600).facts
    body = json.loads(str(facts["create"]))
    engine = Engine()
    numbers = iter(range(1, 1000))

    def ours() -> float:
        tag = Tag("bench", next(numbers), current())
        outcome = worker.call("trial", Job(tag, backend, GUEST, (), 60.0, 10.0), timeout=60)
        assert isinstance(outcome, Outcome)
        assert outcome.failure is None, outcome.failure
        return (outcome.events["started"].at - outcome.events["requested"].at) / 1e9

    def floor() -> float:
        name = f"vmvc-bench-floor-{next(numbers)}"
        begun = time.perf_counter()
        made = json.loads(engine.ask("POST", f"/containers/create?name={name}", body))
        engine.ask("POST", f"/containers/{made['Id']}/start")
        taken = time.perf_counter() - begun
        engine.ask("POST", f"/containers/{made['Id']}/stop")
        engine.ask("DELETE", f"/containers/{made['Id']}?force=1&v=1")
        return taken

    with closing(engine):
        show("docker create + start / hand-written client", measure(ours, floor, 30), "within 1%")
