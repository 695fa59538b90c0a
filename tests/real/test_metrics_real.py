"""Metrics on a real container: against known amounts, Docker's own figures, /proc and psutil."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import docker
import psutil
import pytest

from vmvc import cgroups, owner, probes
from vmvc.backends.docker import DockerBackend
from vmvc.backends.docker_client import DockerOptions
from vmvc.contract import Absent, Event, Guest, Instance, Metric, MonotonicClock, Options, Reading, Scene, Tag
from vmvc.errors import GuestDied
from vmvc.job import Job, Outcome
from vmvc.metrics.disk import Disk, DiskOptions
from vmvc.metrics.isolation import Isolation
from vmvc.metrics.memory import Memory, MemoryOptions
from vmvc.metrics.shutdown import Shutdown
from vmvc.metrics.startup import Startup
from vmvc.spec import BUILT_IN_IMAGES, Http, ReadyHttp
from vmvc.trial import Trial
from vmvc.units import BYTES

pytestmark = [pytest.mark.real("docker"), pytest.mark.quiet]

MIB = 2**20
HELD = 64 * MIB
# dd fills its buffer and then waits for a reader that never reads.
HOLDS = (
    "mkfifo /full; sleep 600 </full & dd if=/dev/zero of=/full bs=64M count=1 & exec httpd -f -p 80 -h /www"
)
CLOCK = MonotonicClock()


def guest(script: str) -> Guest:
    ready = ReadyHttp(http=Http(port=80))
    return Guest(BUILT_IN_IMAGES["tiny"], cpus=1, memory=256 * MIB, ready=ready, command=("sh", "-c", script))


@pytest.fixture(scope="module")
def backend() -> Iterator[DockerBackend]:
    backend = DockerBackend("docker", DockerOptions())
    backend.prepare(guest("true"))
    yield backend
    backend.close()


Run = Callable[..., tuple[Instance, Event]]


@pytest.fixture
def run(backend: DockerBackend) -> Iterator[Run]:
    """Run a script in a container until it is ready; it is gone after the test."""
    made: list[Instance] = []

    def one(script: str = HOLDS) -> tuple[Instance, Event]:
        asked = guest(script)
        instance = backend.instance(Tag(f"metrics-{secrets.token_hex(4)}", 1, owner.current()), asked)
        made.append(instance)
        instance.create()
        instance.start()
        return instance, probes.wait(asked.ready, instance, None, CLOCK, CLOCK.now() + 30 * 10**9)

    yield one
    for instance in made:
        instance.destroy()


def look(metric: Metric, instance: Instance, ready: Event, before: Any = None) -> dict[str, Reading | Absent]:
    scene = Scene({"ready": ready}, instance.guest, instance, CLOCK, before)
    return {one.quantity: one for one in metric.observe(scene) if isinstance(one, Reading | Absent)}


def numbers(found: Mapping[str, Reading | Absent]) -> dict[str, float]:
    return {name: one.value for name, one in found.items() if isinstance(one, Reading)}


def memory(
    instance: Instance, ready: Event, before: int | None = None, settle: float = 1.0
) -> dict[str, float]:
    return numbers(look(Memory(MemoryOptions(settle=settle)), instance, ready, before))


@pytest.fixture
def api() -> Iterator[docker.APIClient]:
    with docker.APIClient(version="auto", timeout=60) as api:
        yield api


def test_memory_is_what_the_guest_holds(run: Run) -> None:
    found = memory(*run())
    for name in ("rss", "pss", "uss", "cgroup_anon"):
        assert HELD < found[name] < HELD + 8 * MIB, name
    assert found["uss"] <= found["pss"] <= found["rss"]
    assert found["cgroup_anon"] <= found["cgroup_current"] <= found["cgroup_peak"]
    parts = found["cgroup_anon"] + found["cgroup_file"] + found["cgroup_kernel"]
    assert found["cgroup_current"] == pytest.approx(parts, abs=2 * cgroups.slack())


def test_memory_agrees_with_docker_stats(run: Run, api: docker.APIClient) -> None:
    instance, ready = run()
    found = memory(instance, ready)
    told = api.stats(instance.tag.name, stream=False)["memory_stats"]
    assert found["cgroup_current"] == pytest.approx(told["usage"], abs=cgroups.slack())
    inactive = told["stats"].get("total_inactive_file", told["stats"].get("inactive_file"))
    assert found["docker_stats"] == pytest.approx(told["usage"] - inactive, abs=2 * cgroups.slack())
    if "max_usage" in told:
        assert found["cgroup_peak"] == told["max_usage"]
    shown = subprocess.run(
        ["docker", "stats", "--no-stream", "--format", "{{.MemUsage}}", instance.tag.name],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()[0]
    unit = shown.lstrip("0123456789.")
    size = float(shown.removesuffix(unit)) * BYTES[unit]
    assert found["docker_stats"] == pytest.approx(size, abs=2 * cgroups.slack())


def test_memory_agrees_with_psutil_and_docker_top(run: Run, api: docker.APIClient) -> None:
    instance, ready = run()
    found = memory(instance, ready)
    pids = [int(row[1]) for row in api.top(instance.tag.name)["Processes"]]
    full = [psutil.Process(pid).memory_full_info() for pid in pids]
    assert len(full) == 3
    for name in ("rss", "pss", "uss"):
        assert found[name] == sum(getattr(one, name) for one in full), name


def test_helpers_are_the_shim_and_the_proxies_and_not_the_daemon(run: Run, api: docker.APIClient) -> None:
    instance, ready = run()
    found = memory(instance, ready)
    name = api.inspect_container(instance.tag.name)["Id"]
    shims = [one for one in psutil.process_iter(["cmdline"]) if name in (one.info["cmdline"] or ())]
    assert len(shims) == 1
    low = shims[0].memory_info().rss
    assert low * 0.9 < found["helpers_rss"] < low + 40 * MIB
    assert 0 < found["helpers_pss"] < found["helpers_rss"]


def test_page_cache_is_charged_but_not_shown_by_docker_stats(run: Run) -> None:
    instance, ready = run()
    before = memory(instance, ready)
    assert instance.run(["dd", "if=/dev/zero", "of=/file", "bs=1M", "count=32"], timeout=30).returncode == 0
    assert instance.run(["sync"], timeout=30).returncode == 0
    after = memory(instance, ready)
    for name in ("cgroup_file", "cgroup_current"):
        assert after[name] - before[name] == pytest.approx(32 * MIB, abs=2 * MIB), name
    for name in ("cgroup_anon", "docker_stats", "pss"):
        assert after[name] - before[name] == pytest.approx(0, abs=2 * MIB), name


def test_shared_memory_stays_counted(run: Run) -> None:
    instance, ready = run()
    before = memory(instance, ready)
    done = instance.run(["dd", "if=/dev/zero", "of=/dev/shm/file", "bs=1M", "count=32"], timeout=30)
    assert done.returncode == 0
    after = memory(instance, ready)
    for name in ("cgroup_file", "cgroup_current", "docker_stats"):
        assert after[name] - before[name] == pytest.approx(32 * MIB, abs=2 * MIB), name


def test_the_host_has_less_by_what_the_instance_takes(run: Run) -> None:
    """Others use the host too, so one quiet moment in five is enough."""
    seen = []
    for _ in range(5):
        before = Memory(MemoryOptions()).before()
        found = memory(*run(), before=before)
        seen.append(found["host_drop"] / (found["cgroup_current"] + found["helpers_pss"]))
        if 0.8 < seen[-1] < 1.3:
            return
    pytest.fail(f"drop of the host over what the instance takes: {seen}")


def test_memory_waits_until_it_has_settled(run: Run) -> None:
    instance, ready = run()
    memory(instance, ready, settle=1.5)
    assert 1.5 <= (CLOCK.now() - ready.at) / 1e9 < 2.5


def test_a_container_that_died_meanwhile_is_a_failed_trial(run: Run) -> None:
    instance, ready = run("sleep 600 & httpd -p 80 -h /www; sleep 2")
    with pytest.raises(GuestDied):
        memory(instance, ready, settle=4)


def test_disk_grows_by_what_is_written(run: Run) -> None:
    instance, ready = run()
    before = numbers(look(Disk(DiskOptions()), instance, ready))
    assert (
        instance.run(["dd", "if=/dev/urandom", "of=/file", "bs=1M", "count=16"], timeout=30).returncode == 0
    )
    assert instance.run(["sync"], timeout=30).returncode == 0
    after = numbers(look(Disk(DiskOptions()), instance, ready))
    for name in ("virtual", "allocated", "unique"):
        assert after[name] - before[name] == pytest.approx(16 * MIB, abs=MIB), name
    assert after["shared"] == before["shared"]
    assert after["allocated"] == after["shared"] + after["unique"]


def test_disk_is_what_docker_says_itself(run: Run, api: docker.APIClient) -> None:
    """``docker system df -v`` counts bytes of files, vmvc blocks: of large files they are the same."""
    instance, ready = run()
    assert (
        instance.run(["dd", "if=/dev/urandom", "of=/file", "bs=1M", "count=16"], timeout=30).returncode == 0
    )
    assert instance.run(["sync"], timeout=30).returncode == 0
    found = numbers(look(Disk(DiskOptions()), instance, ready))
    told = api.df()
    (container,) = [one for one in told["Containers"] if f"/{instance.tag.name}" in one["Names"]]
    assert found["virtual"] == container["SizeRootFs"]
    assert found["unique"] == pytest.approx(container["SizeRw"], abs=MIB)
    (image,) = [one for one in told["Images"] if one["Id"] == container["ImageID"]]
    if api.info()["Driver"] == "overlay2":
        assert found["shared"] == pytest.approx(image["Size"], rel=0.5)


def test_metrics_in_one_instance_do_not_disturb_one_another(backend: DockerBackend) -> None:
    memory, disk = Memory(MemoryOptions(settle=1.0)), Disk(DiskOptions())
    alone = {**measured(backend, memory), **measured(backend, disk)}
    together = measured(backend, Isolation(Options()), disk, memory)
    for name in ("rss", "pss", "uss", "cgroup_anon", "docker_stats"):
        assert together[name] == pytest.approx(alone[name], abs=2 * MIB), name
    for name in ("virtual", "allocated", "shared", "unique"):
        assert together[name] == pytest.approx(alone[name], abs=MIB / 4), name


def measured(backend: DockerBackend, *metrics: Metric) -> dict[str, float]:
    """Run a whole trial with these metrics."""
    tag = Tag(f"metrics-{secrets.token_hex(4)}", 1, owner.current())
    outcome = Trial(Job(tag, backend, guest(HOLDS), metrics, 30.0, 1.0), lambda step, left: None, CLOCK).run()
    assert outcome.failure is None, outcome.failure
    return {one.quantity: one.value for _, one in outcome.readings}


def live(backend: DockerBackend, script: str, stop_timeout: float = 10) -> Outcome:
    """Run a whole trial with both metrics of events."""
    tag = Tag(f"metrics-{secrets.token_hex(4)}", 1, owner.current())
    metrics = (Startup(Options()), Shutdown(Options()))
    asked = replace(guest(script), ready=ReadyHttp(http=Http(port=80, interval=0.005)))
    outcome = Trial(
        Job(tag, backend, asked, metrics, 30.0, stop_timeout), lambda step, seconds: None, CLOCK
    ).run()
    assert outcome.failure is None, outcome.failure
    return outcome


def test_what_the_guest_takes_is_in_startup_and_shutdown(backend: DockerBackend) -> None:
    takes = "sleep {up}; trap 'sleep {down}; exit 0' TERM; httpd -f -p 80 -h /www & wait $!"
    quick = {one.quantity: one for _, one in live(backend, takes.format(up=0, down=0)).readings}
    slow = {one.quantity: one for _, one in live(backend, takes.format(up=1, down=2)).readings}
    assert 0 < quick["created"].value < quick["started"].value < quick["ready"].value
    assert slow["ready"].value - slow["started"].value == pytest.approx(
        1 + quick["ready"].value - quick["started"].value, abs=0.5
    )
    assert slow["gone"].value - quick["gone"].value == pytest.approx(2, abs=0.5)
    assert quick["ready"].resolution is not None
    assert 0 < quick["ready"].resolution < 0.5
    assert quick["started"].resolution == 0


def test_a_container_that_ignores_the_signal_has_no_time_of_shutdown(backend: DockerBackend) -> None:
    outcome = live(backend, "trap '' TERM; httpd -f -p 80 -h /www & wait $!", stop_timeout=2)
    (absent,) = [one for _, one in outcome.absent if one.quantity == "gone"]
    assert "did not end within 2 s" in absent.reason
