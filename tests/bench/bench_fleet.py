"""A burst of containers as a fleet starts it, against as many threads with hand-written clients."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from tests.bench.bench_docker import GUEST, Engine
from tests.bench.pairs import measure, show
from vmvc.backends.docker import DockerBackend
from vmvc.contract import Member, MonotonicClock, Tag
from vmvc.fleet import TrialFleet
from vmvc.owner import current

BURST = 8
PAIRS = 8


@pytest.mark.real("docker")
def bench_a_burst_of_containers() -> None:
    backend = DockerBackend("docker", DockerBackend.options_model())
    body = json.loads(str(backend.prepare(GUEST).facts["create"]))
    numbers = iter(range(1, 10000))
    clock = MonotonicClock()

    def ours() -> float:
        own = Member(1, backend.instance(Tag("bench-fleet", next(numbers), current()), GUEST), {})
        step = ("observe", 60.0)
        with TrialFleet(own, backend, GUEST, 60.0, clock, lambda name, left: None, step, 60.0) as fleet:
            fleet.grow(BURST)
            events = [one.events for one in fleet.members[1:]]
        begun, ended = min(one["requested"].at for one in events), max(one["started"].at for one in events)
        return (ended - begun) / 1e9

    def start(name: str) -> str:
        with closing(Engine()) as engine:
            made = json.loads(engine.ask("POST", f"/containers/create?name={name}", body))["Id"]
            engine.ask("POST", f"/containers/{made}/start")
        return str(made)

    def floor() -> float:
        names = [f"vmvc-bench-floor-{next(numbers)}" for _ in range(BURST)]
        begun = time.perf_counter()
        with ThreadPoolExecutor(BURST) as threads:
            made = list(threads.map(start, names))
        taken = time.perf_counter() - begun
        with closing(Engine()) as engine:
            for one in made:
                engine.ask("DELETE", f"/containers/{one}?force=1&v=1")
        return taken

    try:
        show(
            f"{BURST} containers at once / hand-written clients", measure(ours, floor, PAIRS), "at most 1.05"
        )
    finally:
        backend.close()
