"""A look at an instance's memory, and a sampler of it, against psutil reading the same processes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import psutil
import pytest

from tests.bench.pairs import measure, show
from vmvc import probes
from vmvc.backends.docker import DockerBackend
from vmvc.cli.text import write
from vmvc.contract import Guest, Instance, MonotonicClock, Reading, Scene, Series, Tag
from vmvc.metrics.memory import Memory, MemoryOptions
from vmvc.metrics.memory_figures import look
from vmvc.owner import current
from vmvc.spec import BUILT_IN_IMAGES, Http, ReadyHttp
from vmvc.units import show_seconds

CLOCK = MonotonicClock()
LOOKS = 20
CALM = 5
"""Looks in a row that see as many processes: a shell that just forks is one more."""
PATIENCE = 60.0


@contextmanager
def container(processes: int) -> Iterator[Instance]:
    """Give a container of so many processes, its server among them."""
    script = f"for one in $(seq {processes - 1}); do sleep 3600 & done; exec httpd -f -p 80 -h /www"
    guest = Guest(
        image=BUILT_IN_IMAGES["tiny"],
        cpus=1,
        memory=2**30,
        ready=ReadyHttp(http=Http(port=80)),
        command=("sh", "-c", script),
    )
    backend = DockerBackend("docker", DockerBackend.options_model())
    backend.prepare(guest)
    instance = backend.instance(Tag(f"bench-memory-{processes}", 1, current()), guest)
    try:
        instance.create()
        instance.start()
        probes.wait(guest.ready, instance, None, CLOCK, CLOCK.now() + 120 * 10**9)
        _settle(instance, processes)
        yield instance
    finally:
        instance.destroy()
        backend.close()


def _settle(instance: Instance, processes: int) -> None:
    """Wait until the container has its processes, and no others come and go."""
    calm, end = 0, time.monotonic() + PATIENCE
    while calm < CALM:
        there = len(instance.processes().own)
        assert time.monotonic() < end, f"{there} processes, and not {processes}, after {PATIENCE:g} s"
        calm = calm + 1 if there == processes else 0
        time.sleep(0.1)


def timed(instance: Instance) -> float:
    begun = time.perf_counter()
    look(instance, 0)
    return time.perf_counter() - begun


def by_psutil(instance: Instance) -> float:
    """Find the same processes by name and parent, and add up the same three figures."""
    begun = time.perf_counter()
    there = {one.pid for one in psutil.process_iter(["ppid", "cmdline"])}
    pids = instance.processes()
    for pid in {*pids.own, *pids.helpers, *pids.shared} & there:
        psutil.Process(pid).memory_full_info()
    psutil.virtual_memory()
    return time.perf_counter() - begun


@pytest.mark.real("docker")
@pytest.mark.parametrize(("processes", "promise"), [(2, "under 20 ms"), (1000, "under 200 ms")])
def bench_a_look(processes: int, promise: str) -> None:
    with container(processes) as instance:
        pairs = measure(lambda: timed(instance), lambda: by_psutil(instance), LOOKS)
        begun = time.thread_time()
        look(instance, 0)
        cost = time.thread_time() - begun
    show(f"memory of {processes} processes / psutil", pairs, promise)
    print(f"CPU time of a look: {show_seconds(cost)}")


@pytest.mark.real("docker")
def bench_a_sampler() -> None:
    options = MemoryOptions.model_validate({"settle": 0.0, "sample": {"every": 1.0, "for": 20.0}})
    with container(2) as instance:
        begun = time.process_time()
        found = list(Memory(options).observe(Scene({}, instance.guest, instance, CLOCK, 0)))
        share = (time.process_time() - begun) / 20
        began = time.process_time()
        for _ in range(20):
            time.sleep(1)
        idle = (time.process_time() - began) / 20
    (series,) = [one for one in found if isinstance(one, Series)]
    assert any(isinstance(one, Reading) for one in found)
    each = median(row["look_cpu"] for row in series.rows)
    print()
    write(
        ["sampler at 1 Hz", "of a core", "idle process", "CPU time of a look", "promise"],
        [["one container", f"{share:.3%}", f"{idle:.3%}", show_seconds(each), "under 1% of a core"]],
    )
