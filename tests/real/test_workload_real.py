"""Workloads on real engines: the tools of one Debian image on all three, and commands that go wrong."""

from __future__ import annotations

import csv
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil
import pytest

from tests.command import Said, vmvc
from vmvc import owner, probes
from vmvc.backends.docker import DockerBackend
from vmvc.backends.docker_client import DockerOptions
from vmvc.backends.libvirt import LibvirtBackend
from vmvc.backends.process import ProcessBackend
from vmvc.contract import MOST_OUTPUT, Backend, Guest, Instance, MonotonicClock, Reading, Scene, Tag
from vmvc.errors import DeadlineExceeded, StepFailed, TrialError
from vmvc.metrics.task import Task, Wanted, Word
from vmvc.metrics.workload import Workload
from vmvc.metrics.workload_options import WorkloadOptions
from vmvc.spec import BUILT_IN_IMAGES, Exec, ReadyExec

pytestmark = [
    pytest.mark.real("docker", "libvirt", "root"),
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("bare host"),
]

EXPERIMENT = """\
name: tools
images: {tools: {base: debian:bookworm, packages: [fio, sysbench]}}
guest:
  image: tools
  cpus: 1
  memory: 512MiB
  command: [sh, -c, "trap exit TERM; sleep infinity & wait"]
  ready: {exec: {command: ["true"]}}
backends: [process, docker, libvirt]
metrics:
  cpu: {kind: workload, use: sysbench-cpu, time: 1s, iterations: 2, warmup: 0}
  reads: {kind: workload, use: fio-randread, time: 1s, size: 4MiB, iterations: 1, warmup: 0}
trials: {count: 1, warmup: 0, timeout: 3m}
"""
CLOCK = MonotonicClock()


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Said]:
    """One run of the image's tools on all three backends."""
    folder = tmp_path_factory.mktemp("tools")
    (folder / "tools.yaml").write_text(EXPERIMENT)
    environment = {**os.environ, "VMVC_LOCK": str(folder / "lock")}
    said = vmvc("run", folder / "tools.yaml", cwd=folder, env=environment, timeout=800)
    (run,) = (folder / "results" / "tools").iterdir()
    return run, said


def test_the_same_tools_give_their_numbers_on_every_backend(measured: tuple[Path, Said]) -> None:
    run, said = measured
    assert said.code == 0, said.err
    rows = {
        (row["backend"], f"{row['metric']}.{row['quantity']}"): row
        for row in json.loads((run / "summary.json").read_text())["rows"]
    }
    for backend in ("process", "docker", "libvirt"):
        assert 1 < rows[backend, "cpu.events"]["median"] < 1e5
        assert 1 < rows[backend, "reads.iops"]["median"] < 1e7
        iops, bandwidth = (rows[backend, f"reads.{name}"]["median"] for name in ("iops", "bandwidth"))
        assert bandwidth == pytest.approx(iops * 4096, rel=0.02)
        assert rows[backend, "cpu.events"]["iterations"] == 2
        assert 1 <= rows[backend, "cpu.wall"]["median"] < 60
        assert 0 < rows[backend, "cpu.exec_cost"]["median"] < 30


def test_iterations_stand_in_a_file_of_their_own(measured: tuple[Path, Said]) -> None:
    run, _ = measured
    with (run / "iterations.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len([row for row in rows if row["quantity"] == "events"]) == 3 * 2
    assert {row["unit"] for row in rows if row["quantity"] == "bandwidth"} == {"B/s"}


def test_no_test_file_stays_on_the_host(measured: tuple[Path, Said]) -> None:
    assert not list(Path("/var/tmp").glob("vmvc*"))


# --- commands that go wrong -------------------------------------------------------------------------------

GUEST = Guest(
    BUILT_IN_IMAGES["tiny"],
    cpus=1,
    memory=2**28,
    ready=ReadyExec(exec=Exec(command=("true",))),
    command=("sh", "-c", "trap exit TERM; sleep 100000 & wait"),
)
Run = Callable[[Workload], list[Any]]


@contextmanager
def living(kind: type[Backend]) -> Iterator[Instance]:
    options = DockerOptions() if kind is DockerBackend else kind.options_model()
    backend = kind("b", options)
    backend.prepare(GUEST)
    made = backend.instance(Tag(f"w{secrets.token_hex(4)}", 1, owner.current()), GUEST)
    try:
        made.create()
        made.start()
        with closing(probes.ConsoleTap(made.console(), CLOCK)) as tap:
            probes.wait(GUEST.ready, made, tap, CLOCK, CLOCK.now() + 120 * 10**9)
            yield made
    finally:
        made.destroy()
        backend.close()


@pytest.fixture(params=[DockerBackend, ProcessBackend], scope="module")
def instance(request: pytest.FixtureRequest) -> Iterator[Instance]:
    with living(request.param) as made:
        yield made


@pytest.fixture(params=[DockerBackend, ProcessBackend, LibvirtBackend], scope="module")
def anywhere(request: pytest.FixtureRequest) -> Iterator[Instance]:
    with living(request.param) as made:
        yield made


def observe(
    instance: Instance,
    *command: str,
    deadline: float = 60.0,
    wanted: Mapping[str, Wanted] = MappingProxyType({"n": Wanted(lines=Word())}),
) -> list[Any]:
    task = Task(command=command, quantities=wanted)
    options = WorkloadOptions(run=task, iterations=1, warmup=0, deadline=deadline)
    scene = Scene(events={}, guest=GUEST, instance=instance, clock=CLOCK, timeout=60.0)
    return list(Workload(options, "w").observe(scene))


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("no-such-tool",), "iteration 1: 'no-such-tool' was not found in the guest"),
        (("sh", "-c", "echo oh no >&2; exit 3"), "iteration 1: 'sh' ended with 3: oh no"),
        (("true",), "iteration 1: n: stdout: expected one line, got 0; nothing was printed there"),
        (("echo", "a"), "iteration 1: n: stdout:1: expected a number, got 'a'"),
        (("printf", r"1\n2\n"), "iteration 1: n: stdout: expected one line, got 2; it ends with '2'"),
        (("printf", "1 2"), "iteration 1: n: stdout:1: "),
        (("head", "-c", "4", "/bin/busybox"), "iteration 1: n: stdout:1: expected a number, got "),
        (("printf", r"7\n\377\376\n"), "iteration 1: n: stdout:2: this is no text: byte 0xff"),
        (("head", "-c", "3000000", "/dev/zero"), "iteration 1: 'head' printed 3000000 bytes to stdout"),
    ],
)
def test_a_command_that_goes_wrong_is_one_clear_error(
    anywhere: Instance, command: tuple[str, ...], said: str
) -> None:
    with pytest.raises(TrialError) as caught:
        observe(anywhere, *command)
    assert caught.value.what.startswith(said), caught.value.what
    assert caught.value.hint
    assert anywhere.alive()


def test_two_matches_are_none(anywhere: Instance) -> None:
    wanted = {"n": Wanted(regex=r"took (\d+) ms", unit="ms")}
    with pytest.raises(TrialError, match=r"n: stdout:2: .* matches again, first in line 1, got 'took 6 ms'"):
        observe(anywhere, "printf", r"took 5 ms\ntook 6 ms\n", wanted=wanted)


@pytest.mark.parametrize("anywhere", [LibvirtBackend], indirect=True)
def test_a_machine_goes_on_after_a_command_that_never_ends(anywhere: Instance) -> None:
    with pytest.raises(DeadlineExceeded, match="iteration 1: 'sleep' did not end within 2 s"):
        observe(anywhere, "sleep", "7654321", deadline=2.0)
    limit = time.monotonic() + 20  # the guest ends it by its own clock
    while True:
        left = anywhere.run(("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"), timeout=60.0).stdout
        assert b"sleep 100000" in left
        if b"sleep 7654321" not in left:
            break
        assert time.monotonic() < limit, left


def inside(instance: Instance, text: str) -> list[int]:
    """Return the processes of the host whose arguments hold this text, but this test's own."""
    return [
        one.pid
        for one in psutil.process_iter(["cmdline"])
        if text in " ".join(one.info["cmdline"] or ()) and one.pid != os.getpid()
    ]


def gone(instance: Instance, text: str) -> bool:
    limit = time.monotonic() + 10
    while inside(instance, text):
        if time.monotonic() > limit:
            return False
        time.sleep(0.05)
    return True


def test_a_nap_takes_as_long_as_it_says_and_the_way_into_the_guest(instance: Instance) -> None:
    task = Task(command=("sleep", "0.5"))
    options = WorkloadOptions(run=task, iterations=2, warmup=1)
    scene = Scene(events={}, guest=GUEST, instance=instance, clock=CLOCK, timeout=60.0)
    found = {one.quantity: one for one in Workload(options, "nap").observe(scene) if isinstance(one, Reading)}
    cost = found["exec_cost"].value
    assert 0 < cost < 5
    for wall in (*found["wall"].iterations, *found["wall"].warmups):
        assert 0.5 <= wall < 0.5 + 20 * cost + 2


def test_a_command_that_never_ends_is_gone_from_the_guest(instance: Instance) -> None:
    with pytest.raises(DeadlineExceeded, match="iteration 1: 'sleep' did not end within 1 s"):
        observe(instance, "sleep", "7654321", deadline=1.0)
    assert gone(instance, "sleep 7654321")
    assert instance.alive(), "only the command is ended"


def test_a_command_that_prints_without_end_is_ended_early(instance: Instance) -> None:
    begin = time.monotonic()
    with pytest.raises(StepFailed, match=f"printed more than {MOST_OUTPUT // 2**20} MiB"):
        observe(instance, "yes", "vmvc-endless", deadline=50.0)
    assert time.monotonic() - begin < 40
    assert gone(instance, "yes vmvc-endless")


def test_a_lot_of_output_arrives_whole(instance: Instance) -> None:
    done = instance.run(("sh", "-c", "head -c 12000000 /dev/zero | tr '\\0' x"), timeout=60.0)
    assert (done.returncode, len(done.stdout), set(done.stdout)) == (0, 12_000_000, {ord("x")})
