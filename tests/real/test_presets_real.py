"""Every ready-made workload on real engines: its figures against other lines of what its tool printed."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import pytest

from vmvc import hostrun, owner, probes
from vmvc.backends.docker import DockerBackend
from vmvc.backends.docker_client import DockerOptions
from vmvc.backends.process import ProcessBackend
from vmvc.contract import Backend, Completed, Finding, Guest, Instance, MonotonicClock, Reading, Scene, Tag
from vmvc.metrics.presets import DEPTH, PRESETS
from vmvc.metrics.workload import Workload
from vmvc.metrics.workload_options import WorkloadOptions
from vmvc.spec import Http, ReadyHttp, RecipeImage

pytestmark = [
    pytest.mark.real("docker", "root", "mmdebstrap"),
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("bare host"),
]

PACKAGES: Final = ("fio", "iperf3", "linux-perf", "nginx-light", "openssl", "stress-ng", "sysbench")
GUEST: Final = Guest(
    RecipeImage(base="debian:bookworm", packages=PACKAGES, services=("nginx",)),
    cpus=1,
    memory=2**29,
    ready=ReadyHttp(http=Http(port=80)),
    command=("sh", "-c", "iperf3 -s >/dev/null & exec nginx -g 'daemon off;'"),
    reach=(5201,),
)
CLOCK: Final = MonotonicClock()


@pytest.fixture(params=[DockerBackend, ProcessBackend], scope="module")
def instance(request: pytest.FixtureRequest) -> Iterator[Instance]:
    options = DockerOptions() if request.param is DockerBackend else request.param.options_model()
    backend: Backend = request.param("b", options)
    backend.prepare(GUEST)
    made = backend.instance(Tag(f"p{secrets.token_hex(4)}", 1, owner.current()), GUEST)
    try:
        made.create()
        made.start()
        probes.wait(GUEST.ready, made, None, CLOCK, CLOCK.now() + 60 * 10**9)
        yield made
    finally:
        made.destroy()
        backend.close()


# --- what the tool says of the same thing elsewhere -------------------------------------------------------


def number(text: str, pattern: str) -> float:
    (found,) = re.findall(pattern, text, re.MULTILINE)
    return float(found)


def sysbench(text: str) -> Mapping[str, float]:
    """Return rates from the total, and the latest and soonest that a latency can be."""
    events, took = (number(text, rf"total {what}:\s+([0-9.]+)s?$") for what in ("number of events", "time"))
    mean, most, total = (number(text, rf"^\s+{what}:\s+([0-9.]+)$") for what in ("avg", "max", "sum"))
    return {"rate": events / took, "count": total / mean, "latency_p95": most / 1e3}


def fio(text: str, side: str) -> Mapping[str, float]:
    job = json.loads(text)["jobs"][0]
    told = job[side]
    other = "write" if side == "read" else "read"
    assert job["error"] == 0
    assert job[other]["io_bytes"] == 0
    seconds = told["runtime"] / 1e3
    rate = told["total_ios"] / seconds
    return {
        "iops": rate,
        "bandwidth": told["io_bytes"] / seconds,
        "latency_mean": DEPTH / rate,
        "latency_p99": told["lat_ns"]["max"] / 1e9,
    }


def stress(text: str) -> float:
    """Return bogo operations a second of wall time."""
    ((count, seconds),) = re.findall(r"metrc: \[\d+\] [a-z]+ +(\d+) +([0-9.]+) +[0-9.]+ +[0-9.]+ ", text)
    return float(count) / float(seconds)


def stream(text: str) -> Mapping[str, float]:
    """Of 4 loops, 6 operands are read and 4 written, of 8 bytes each, for 4 operations."""
    rounds = 1e6 * number(text, r"stream +([0-9.]+) memory rate \(Mflop") / 4
    return {"read": rounds * 6 * 8, "written": rounds * 4 * 8}


def openssl(text: str) -> float:
    ((blocks, seconds),) = re.findall(r"^\+R:(\d+):[^:]+:([0-9.]+)$", text, re.MULTILINE)
    return float(blocks) * 16384 / float(seconds)


def fileio(text: str) -> Mapping[str, float]:
    of_16_kib = 2**20 / 16384
    return {
        "reads": number(text, r"read, MiB/s:\s+([0-9.]+)") * of_16_kib,
        "writes": number(text, r"written, MiB/s:\s+([0-9.]+)") * of_16_kib,
        "fsyncs": sysbench(text)["rate"]
        - sum(number(text, rf"{what}, MiB/s:\s+([0-9.]+)") * of_16_kib for what in ("read", "written")),
        "latency_p95": sysbench(text)["latency_p95"],
    }


def ab(text: str) -> Mapping[str, float]:
    rate = number(text, r"Complete requests:\s+(\d+)") / number(text, r"Time taken for tests:\s+([0-9.]+)")
    slowest = number(text, r"100%\s+(\d+) \(longest request\)") / 1e3
    return {"requests": rate, "failed": 0.0, "latency_p95": slowest}


def wrk(text: str) -> Mapping[str, float]:
    ((count, seconds),) = re.findall(r"^\s+(\d+) requests in ([0-9.]+)s,", text, re.MULTILINE)
    return {"requests": float(count) / float(seconds)}


def iperf3(text: str) -> Mapping[str, float]:
    received = json.loads(text)["end"]["sum_received"]
    return {"throughput": received["bytes"] * 8 / received["seconds"]}


def perf(text: str) -> Mapping[str, float]:
    return {"call": number(text, r"Total time: ([0-9.]+) \[sec\]") / 500_000}


ELSEWHERE: Final[Mapping[str, Callable[[str], Mapping[str, float]]]] = {
    "sysbench-cpu": lambda text: {"events": sysbench(text)["rate"], **sysbench(text)},
    "sysbench-memory": lambda text: {"bandwidth": sysbench(text)["rate"] * 2**20},
    "sysbench-threads": lambda text: {"events": sysbench(text)["count"], **sysbench(text)},
    "sysbench-fileio": fileio,
    "fio-randread": lambda text: fio(text, "read"),
    "fio-randwrite": lambda text: fio(text, "write"),
    "fio-seqread": lambda text: fio(text, "read"),
    "fio-seqwrite": lambda text: fio(text, "write"),
    "stress-cpu": lambda text: {"bogo_ops": stress(text)},
    "stress-vm": lambda text: {"bogo_ops": stress(text)},
    "stream": stream,
    "context-switch": lambda text: {"switch": 1 / stress(text)},
    "syscall": perf,
    "openssl-sha256": lambda text: {"throughput": openssl(text)},
    "openssl-aes": lambda text: {"throughput": openssl(text)},
    "iperf3": iperf3,
    "http-wrk": wrk,
    "http-ab": ab,
}
ROUGH: Final = {"sysbench-fileio.fsyncs": 0.2, "context-switch.switch": 0.25, "latency_mean": 0.15}
"""How far a figure may be from what it is held to, where that is not the same by another line."""
AT_MOST: Final = ("latency_p95", "latency_p99")
"""Quantities that are only held to the longest time that the tool saw."""


class Heard:
    """An instance, and what its commands printed."""

    def __init__(self, instance: Instance, said: list[Completed]) -> None:
        self._instance = instance
        self._said = said

    def __getattr__(self, name: str) -> Any:
        return getattr(self._instance, name)

    def run(self, argv: Sequence[str], **options: Any) -> Completed:
        done = self._instance.run(argv, **options)
        if tuple(argv) != ("true",):
            self._said.append(done)
        return done


def observe(
    name: str, instance: Instance, patched: pytest.MonkeyPatch
) -> tuple[dict[str, float], str, list[str]]:
    """Run one iteration; return its figures, what the tool printed, and the findings."""
    preset = PRESETS[name]
    said: list[Completed] = []
    on_host = hostrun.run

    def heard(argv: Sequence[str], **options: Any) -> Completed:
        said.append(on_host(argv, **options))
        return said[-1]

    patched.setattr(hostrun, "run", heard)
    given: dict[str, Any] = {} if name == "syscall" else {"time": preset.least}
    options = WorkloadOptions(use=name, iterations=1, warmup=0, size=2**24, **given)
    scene = Scene({}, GUEST, Heard(instance, said), CLOCK, 60.0)  # type: ignore[arg-type]
    observed = list(Workload(options, name).observe(scene))
    done = said[0 if preset.task.setup is None else 1] if preset.task.on == "guest" else said[-1]
    return (
        {one.quantity: one.value for one in observed if isinstance(one, Reading)},
        (done.stdout + done.stderr).decode(),
        [one.code for one in observed if isinstance(one, Finding)],
    )


def _marked(name: str) -> pytest.MarkDecorator | tuple[()]:
    """A tool that works from the host must be there, too."""
    task = PRESETS[name].task
    return pytest.mark.real(task.command[0]) if task.on == "host" else ()


@pytest.mark.parametrize("name", [pytest.param(name, marks=_marked(name)) for name in PRESETS])
def test_a_tools_figures_are_those_that_it_prints_elsewhere(
    name: str, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, text, findings = observe(name, instance, monkeypatch)
    elsewhere = ELSEWHERE[name](text)
    quantities = PRESETS[name].task.quantities
    assert quantities.keys() <= found.keys()
    for quantity in quantities:
        value, held = found[quantity], elsewhere[quantity]
        rough = ROUGH.get(f"{name}.{quantity}", ROUGH.get(quantity, 0.03))
        if quantity in AT_MOST:
            assert held / 1e4 < value <= held * 1.01, (quantity, value, held)
        else:
            assert value == pytest.approx(held, rel=rough), (quantity, value, held)
    if name != "syscall":
        assert PRESETS[name].least <= found["wall"] < PRESETS[name].least + 8
    assert set(findings) <= {"workload.short", "workload.little"}
    assert "workload.little" not in findings or name.startswith("fio")
