"""Bursts of containers as a fleet starts them, against as many threads with hand-written clients."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from tests.bench.bench_docker import GUEST, Engine
from tests.bench.pairs import measure, show
from vmvc.backends.docker import DockerBackend
from vmvc.contract import Event, Member, MonotonicClock, Tag
from vmvc.fleet import TrialFleet
from vmvc.owner import current

BURST = 8
PAIRS = 8
FLEET = 100


@pytest.mark.real("docker")
@pytest.mark.parametrize(("count", "pairs"), [(BURST, PAIRS), (FLEET, 3)], ids=["one burst", "a fleet"])
def bench_bursts_of_containers(count: int, pairs: int) -> None:
    bursts = [min(BURST, count - begun) for begun in range(0, count, BURST)]
    backend = DockerBackend("docker", DockerBackend.options_model())
    body = json.loads(str(backend.prepare(GUEST).facts["create"]))
    numbers = iter(range(1, 10000))
    clock = MonotonicClock()

    def ours() -> float:
        own = Member(1, backend.instance(Tag("bench-fleet", next(numbers), current()), GUEST), {})
        step = ("observe", 60.0)
        with TrialFleet(own, backend, GUEST, 60.0, clock, lambda name, left: None, step, 60.0) as fleet:
            for burst in bursts:
                fleet.grow(burst)
            events = [dict(one.events) for one in fleet.members[1:]]
        return sum(_taken(events[sum(bursts[:place]) :][:burst]) for place, burst in enumerate(bursts))

    def start(name: str) -> str:
        with closing(Engine()) as engine:
            made = json.loads(engine.ask("POST", f"/containers/create?name={name}", body))["Id"]
            engine.ask("POST", f"/containers/{made}/start")
        return str(made)

    def floor() -> float:
        made: list[str] = []
        taken = 0.0
        for burst in bursts:
            names = [f"vmvc-bench-floor-{next(numbers)}" for _ in range(burst)]
            begun = time.perf_counter()
            with ThreadPoolExecutor(burst) as threads:
                made += threads.map(start, names)
            taken += time.perf_counter() - begun
        with closing(Engine()) as engine:
            for one in made:
                engine.ask("DELETE", f"/containers/{one}?force=1&v=1")
        return taken

    try:
        found = measure(ours, floor, pairs)
        show(f"{count} containers, {BURST} at once / hand-written clients", found, "at most 1.05")
        print(f"rate of the hand-written clients: {1 / found.ratio:.3f}; promise: at least 0.95")
    finally:
        backend.close()


def _taken(events: Sequence[Mapping[str, Event]]) -> float:
    """Return the seconds from the first request of a burst to its last start."""
    begun, ended = min(one["requested"].at for one in events), max(one["started"].at for one in events)
    return (ended - begun) / 1e9
