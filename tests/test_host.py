"""What a host says of itself: planted files, planted states, and this host against psutil."""

from __future__ import annotations

import dataclasses
import errno
import json
import mmap
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from vmvc import host
from vmvc.contract import Scalar, Severity
from vmvc.host import counters, kernel_log, neighbours
from vmvc.host.state import look
from vmvc.spec_host import CODES

GIB = 2**30
QUIET = host.State(
    threads=4,
    memory=16 * GIB,
    available=12 * GIB,
    swap_used=0,
    load=0.4,
    steal=0.0,
    free={"/data": 50 * GIB},
    runnable=1.0,
    steal_now=0.01,
    throttled=0,
    hottest=(60.0, 100.0),
)
BARE: Mapping[str, Scalar] = {
    "governor": "performance",
    "ksm_run": 0,
    "turbo": False,
    "virtualised": False,
    "smt": False,
    "thp": "madvise",
}


def planted(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def codes(about: Mapping[str, Scalar], state: host.State) -> list[str]:
    return [finding.code for finding in host.judge(about, state)]


# --- facts ------------------------------------------------------------------------------------------------


def test_a_server_is_described(tmp_path: Path) -> None:
    cpu = "sys/devices/system/cpu"
    root = planted(
        tmp_path,
        {
            "proc/cpuinfo": "processor\t: 0\nmodel name\t: A CPU @ 2 GHz\nflags\t\t: fpu vmx\n\n",
            f"{cpu}/cpu0/cpufreq/scaling_governor": "powersave\n",
            f"{cpu}/cpu1/cpufreq/scaling_governor": "performance\n",
            f"{cpu}/intel_pstate/no_turbo": "0\n",
            f"{cpu}/smt/active": "1\n",
            "sys/module/kvm_intel/parameters/nested": "Y\n",
            "proc/sys/kernel/randomize_va_space": "2\n",
            "sys/class/dmi/id/sys_vendor": "Dell Inc.\n",
            "sys/class/dmi/id/product_name": "PowerEdge\n",
            "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
            "sys/kernel/mm/ksm/run": "1\n",
            "sys/kernel/mm/ksm/pages_shared": "17\n",
            "sys/kernel/mm/ksm/pages_sharing": "40\n",
            "sys/fs/cgroup/cgroup.controllers": "memory\n",
            "sys/devices/system/clocksource/clocksource0/current_clocksource": "hpet\n",
        },
    )
    expected = {
        "cpu": "A CPU @ 2 GHz",
        "governor": "performance, powersave",
        "turbo": True,
        "smt": True,
        "nested": True,
        "aslr": 2,
        "hardware": "Dell Inc. PowerEdge",
        "virtualised": False,
        "thp": "madvise",
        "ksm_run": 1,
        "ksm_pages_shared": 17,
        "ksm_pages_sharing": 40,
        "cgroup": "v2",
        "clock_source": "hpet",
    }
    assert {name: host.facts(root).get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("files", "virtualised"),
    [
        ({"proc/cpuinfo": "flags\t\t: fpu hypervisor lahf_lm\n"}, True),
        ({"proc/cpuinfo": "flags\t\t: fpu hypervisors\n"}, False),
        ({"sys/hypervisor/type": "xen\n"}, True),
        ({"proc/device-tree/hypervisor/compatible": "linux,kvm"}, True),
        ({"proc/cpuinfo": "Features\t: fp asimd\n"}, None),
        ({}, None),
    ],
)
def test_a_hypervisor_below_is_seen(
    tmp_path: Path, files: Mapping[str, str], virtualised: bool | None
) -> None:
    assert host.facts(planted(tmp_path, files)).get("virtualised") is virtualised


def test_turbo_of_other_drivers(tmp_path: Path) -> None:
    assert host.facts(planted(tmp_path, {"sys/devices/system/cpu/cpufreq/boost": "0\n"}))["turbo"] is False


def test_what_a_host_does_not_show_is_left_out(tmp_path: Path) -> None:
    found = host.facts(tmp_path)
    assert {"kernel", "memory", "threads", "swap", "python", "psutil", "vmvc"} <= set(found)
    for name in ("governor", "turbo", "smt", "thp", "ksm_run", "cgroup", "clock_source", "hardware"):
        assert name not in found
    assert "" not in found.values()


def test_facts_of_this_host_fit_into_a_record() -> None:
    found = host.facts()
    assert json.loads(json.dumps(dict(found))) == dict(found)
    assert found["memory"] == psutil.virtual_memory().total
    assert found["threads"] == os.cpu_count()
    assert str(found["kernel"]).endswith(platform.release())


# --- findings ---------------------------------------------------------------------------------------------


def test_a_quiet_host_has_no_findings() -> None:
    assert codes(BARE, QUIET) == []
    assert codes({}, dataclasses.replace(QUIET, load=None, steal=None, free={})) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"load": 2.01}, "host.load"),
        ({"available": int(1.5 * GIB)}, "host.memory"),
        ({"memory": 4 * GIB, "available": GIB - 1}, "host.memory"),
        ({"free": {"/data": 50 * GIB, "/tmp": 2 * GIB - 1}}, "host.disk"),
        ({"swap_used": 4096}, "host.swap"),
        ({"runnable": 2.5}, "host.runnable"),
        ({"steal_now": 0.011}, "host.steal"),
        ({"throttled": 3}, "host.throttling"),
        ({"hottest": (91.0, 100.0)}, "host.temperature"),
        ({"guests": {"containerd-shim": 2}}, "host.guests"),
        ({"clocks": ("chronyd",)}, "host.clock"),
    ],
)
def test_a_state_that_spoils_numbers_is_found(change: Mapping[str, object], code: str) -> None:
    fields = {name: getattr(QUIET, name) for name in QUIET.__slots__}
    assert codes(BARE, host.State(**{**fields, **change})) == [code]


@pytest.mark.parametrize(
    "change",
    [
        {"load": 2.0},
        {"memory": 4 * GIB, "available": GIB},
        {"free": {"/data": 2 * GIB}},
        {"runnable": 2.0},
        {"hottest": (90.0, 100.0)},
    ],
)
def test_the_limit_itself_is_well(change: Mapping[str, object]) -> None:
    fields = {name: getattr(QUIET, name) for name in QUIET.__slots__}
    assert codes(BARE, host.State(**{**fields, **change})) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"governor": "performance, powersave"}, "host.governor"),
        ({"ksm_run": 1}, "host.ksm"),
        ({"turbo": True}, "host.turbo"),
        ({"virtualised": True}, "host.virtualised"),
        ({"smt": True}, "host.smt"),
        ({"thp": "always"}, "host.thp"),
    ],
)
def test_a_setting_that_spoils_numbers_is_found(change: Mapping[str, Scalar], code: str) -> None:
    assert codes({**BARE, **change}, QUIET) == [code]


def test_every_finding_has_value_and_remedy() -> None:
    worst = host.State(
        threads=2, memory=GIB, available=2**20, swap_used=2**20, load=9.5, steal=0.123, free={"/data": 2**20},
        runnable=7.0, steal_now=0.25, throttled=12, hottest=(97.4, 100.0),
        guests={"qemu-system-x86": 1, "containerd-shim": 2}, clocks=("chronyd",),
    )  # fmt: skip
    bad: dict[str, Scalar] = {
        "governor": "ondemand",
        "ksm_run": 1,
        "ksm_pages_sharing": 77,
        "turbo": True,
        "virtualised": True,
        "nested": True,
        "smt": True,
        "thp": "always",
    }
    found = {finding.code: finding for finding in host.judge(bad, worst)}
    assert {code.removeprefix("host.") for code in found} == set(CODES)
    for finding in found.values():
        assert finding.severity in (Severity.WARNING, Severity.INFO)
        assert finding.remedy
    shown = {
        "host.load": "9.50 on 2 CPUs",
        "host.memory": "1 MiB of 1 GiB",
        "host.disk": "1 MiB in /data",
        "host.swap": "1 MiB",
        "host.ksm": "77",
        "host.governor": "ondemand",
        "host.virtualised": "12.3%",
        "host.runnable": "7 other tasks want one of 2 CPUs",
        "host.steal": "25.0%",
        "host.throttling": "12 times",
        "host.temperature": "97 degrees Celsius and slows down at 100",
        "host.guests": "2 of containerd-shim, 1 of qemu-system-x86",
        "host.clock": "chronyd",
    }
    for code, text in shown.items():
        assert text in found[code].what


def test_the_cpu_that_is_closest_to_its_limit_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk may be as hot as it likes, and a sensor without a limit says nothing."""
    sensors = {
        "nvme": [SimpleNamespace(current=99.0, high=80.0, critical=85.0)],
        "coretemp": [
            SimpleNamespace(current=70.0, high=80.0, critical=100.0),
            SimpleNamespace(current=95.0, high=None, critical=None),
        ],
        "k10temp": [SimpleNamespace(current=68.0, high=70.0, critical=None)],
    }
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: sensors)
    assert look().hottest == (68.0, 70.0)
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: {"nvme": sensors["nvme"]})
    assert look().hottest is None


def test_steal_is_that_since_an_earlier_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten CPU-seconds in a hundred, less the one tick by which the counter may be too high."""
    monkeypatch.setattr(psutil, "cpu_count", lambda logical=True: 4)
    now = host.Noise(125.0, 0, 11.0 + counters.tick(), None, {})
    monkeypatch.setattr(counters, "noise", lambda: now)
    before = dataclasses.replace(now, at=100.0, steal=1.0)
    assert look(before).steal_now == pytest.approx(0.1)
    assert look(dataclasses.replace(before, steal=None)).steal_now is None


def test_nesting_is_a_matter_of_a_virtual_host() -> None:
    assert codes({**BARE, "nested": True}, QUIET) == []
    assert codes({**BARE, "nested": False, "virtualised": True}, QUIET) == ["host.virtualised", "host.nested"]


def test_other_guests_are_told_from_other_programs() -> None:
    """The kernel keeps 15 characters of a name."""
    names = ["qemu-system-x86", "qemu-img", "containerd-shim", "containerd", "conmon", "bash", "firecracker"]
    names += ["cloud-hyperviso"]
    assert neighbours.guests(names) == {
        **dict.fromkeys(("qemu-system-x86", "containerd-shim", "conmon", "firecracker", "cloud-hyperviso"), 1)
    }
    assert neighbours.clocks(["systemd-timesyn", "systemd-udevd", "chronyd", "chronyd"]) == (
        *("chronyd", "systemd-timesyncd"),
    )


def test_what_this_process_started_and_what_started_it_are_no_neighbours() -> None:
    child = subprocess.Popen(["sleep", "60"])
    try:
        others = neighbours.programs()
        assert not {child.pid, os.getpid(), os.getppid()} & others.keys()
        assert others
    finally:
        child.kill()
        child.wait()


def test_a_stranger_that_is_a_guest_is_seen(tmp_path: Path) -> None:
    """A process of another session and parent that has the name of a virtual machine monitor."""
    program = tmp_path / "firecracker"
    shutil.copy(shutil.which("sleep") or "", program)
    started = subprocess.run(
        ["setsid", "-f", "sh", "-c", f'echo $$; exec "{program}" 60 >/dev/null 2>&1'],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    pid = int(started.stdout)
    try:
        wait_for(lambda: Path(f"/proc/{pid}/comm").read_text() == "firecracker\n")
        assert look().guests.get("firecracker", 0) >= 1
    finally:
        os.kill(pid, 9)


def test_this_host_is_judged_without_error() -> None:
    found = [finding.code for finding in host.findings()]
    assert found == list(dict.fromkeys(found))


def test_a_working_directory_that_is_gone_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert isinstance(host.findings(), list)


# --- noise ------------------------------------------------------------------------------------------------


def test_noise_is_what_happened_in_between() -> None:
    before = host.Noise(10.0, 1000, 5.0, 0.5, {"cpu": 1.0, "io": 2.0})
    after = host.Noise(12.5, 1400, 5.25, 0.75, {"cpu": 1.5, "io": 2.0})
    assert host.noise_between(before, after) == {
        "seconds": 2.5,
        "context_switches": 400,
        "steal_s": 0.25,
        "cpu_pressure_s": 0.5,
        "io_pressure_s": 0,
        "load_before": 0.5,
        "load_after": 0.75,
    }


def test_a_clock_that_was_set_and_a_sleep_are_told_apart() -> None:
    before = host.Noise(10.0, 0, None, None, {}, wall=1000.0, slept=5.0)
    stepped = host.noise_between(before, dataclasses.replace(before, wall=4600.0))
    assert (stepped["clock_step_s"], stepped["suspended_s"]) == (3600.0, 0.0)
    slept = host.noise_between(before, dataclasses.replace(before, wall=1030.0, slept=35.0))
    assert (slept["clock_step_s"], slept["suspended_s"]) == (0.0, 30.0)
    both = host.noise_between(before, dataclasses.replace(before, wall=430.0, slept=35.0))
    assert (both["clock_step_s"], both["suspended_s"]) == (-600.0, 30.0)


@pytest.mark.parametrize(
    ("counts", "counts_not"), [("BOOTTIME", "MONOTONIC"), ("MONOTONIC_RAW", "UPTIME_RAW")]
)
def test_sleep_is_measured_by_the_clocks_that_the_host_has(
    monkeypatch: pytest.MonkeyPatch, counts: str, counts_not: str
) -> None:
    for name in ("BOOTTIME", "MONOTONIC", "MONOTONIC_RAW", "UPTIME_RAW"):
        monkeypatch.delattr(time, f"CLOCK_{name}", raising=False)
    assert counters.slept() is None
    monkeypatch.setattr(time, f"CLOCK_{counts}", 1, raising=False)
    monkeypatch.setattr(time, f"CLOCK_{counts_not}", 2, raising=False)
    monkeypatch.setattr(time, "clock_gettime", {1: 5000.0, 2: 100.0}.get)
    assert counters.slept() == 4900.0


def test_a_pause_between_two_looks_at_clocks_is_no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    held_up = [0.3, 0.0, 0.2, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    now = 100.0

    def clock_gettime(clock: int) -> float:
        nonlocal now
        at = now + (7.0 if clock == time.CLOCK_BOOTTIME else 0.0)
        now += held_up.pop(0)
        return at

    monkeypatch.setattr(time, "clock_gettime", clock_gettime)
    assert counters.slept() == 7.0


def test_a_sleep_is_told_with_its_length_and_that_of_the_trial() -> None:
    noise = {"seconds": 12.5, "suspended_s": 5400.0}
    (found,) = host.noise_findings(noise, threads=4, cpus=1, room=4)
    assert (found.code, found.severity) == ("host.suspended", Severity.WARNING)
    assert "suspended for 90 min during the trial and awake for 12.5 s" in found.what


def test_a_sleep_before_a_trial_is_told_with_it() -> None:
    last = host.Noise(10.0, 0, None, None, {}, slept=5.0)
    assert not list(host.woken(last, dataclasses.replace(last, at=12.0)))
    assert not list(host.woken(last, dataclasses.replace(last, slept=None)))
    (found,) = host.woken(last, dataclasses.replace(last, at=12.0, slept=3605.0))
    assert (found.code, found.severity) == ("host.woken", Severity.WARNING)
    assert "suspended for 60 min between" in found.what


def test_this_hosts_clocks_agree_while_nobody_sets_them() -> None:
    found = host.noise_between(host.noise(), host.noise())
    assert abs(found["clock_step_s"]) < 0.01
    assert abs(found["suspended_s"]) < 0.01


def test_noise_that_the_host_does_not_show_is_left_out() -> None:
    silent = host.Noise(1.0, 7, None, None, {})
    assert host.noise_between(silent, dataclasses.replace(silent, at=2.0)) == {
        "seconds": 1.0,
        "context_switches": 0,
    }


def noisy(**found: float) -> list[str]:
    noise = {"seconds": 10.0, **found}
    return [finding.code for finding in host.noise_findings(noise, threads=4, cpus=1, room=4)]


def test_a_quiet_trial_has_no_findings() -> None:
    assert noisy() == []
    assert noisy(steal_s=0.41, cpu_pressure_s=1.0, throttle_events=0) == []
    assert noisy(suspended_s=0.001, clock_step_s=0.3) == []


@pytest.mark.parametrize(
    ("noise", "code"),
    [
        ({"steal_s": 0.42}, "host.steal"),
        ({"cpu_pressure_s": 1.01}, "host.pressure"),
        ({"throttle_events": 1}, "host.throttling"),
        ({"suspended_s": 0.02}, "host.suspended"),
        ({"clock_step_s": 3600.0}, "host.clock-stepped"),
        ({"clock_step_s": -0.6}, "host.clock-stepped"),
    ],
)
def test_a_trial_that_was_disturbed_is_flagged(noise: Mapping[str, float], code: str) -> None:
    assert noisy(**noise) == [code]


def test_one_tick_of_steal_proves_nothing() -> None:
    short = {"seconds": 0.1, "steal_s": 0.01}
    assert list(host.noise_findings(short, threads=2, cpus=1, room=2)) == []


def test_a_guest_that_may_use_all_cpus_waits_for_itself() -> None:
    noise = {"seconds": 1.0, "cpu_pressure_s": 0.9}
    assert list(host.noise_findings(noise, threads=8, cpus=2, room=2)) == []
    assert [one.code for one in host.noise_findings(noise, threads=8, cpus=2, room=3)] == ["host.pressure"]


def test_throttling_is_counted_once_for_a_package(tmp_path: Path) -> None:
    assert counters.throttled(tmp_path) is None
    folder = "sys/devices/system/cpu/cpu{}/thermal_throttle"
    counts = {"core_throttle_count": "2\n", "package_throttle_count": "5\n"}
    files = {f"{folder.format(cpu)}/{name}": text for cpu in (0, 11) for name, text in counts.items()}
    assert counters.throttled(planted(tmp_path, files)) == 9
    before = host.Noise(0.0, 0, None, None, {}, 9)
    assert host.noise_between(before, dataclasses.replace(before, throttled=11))["throttle_events"] == 2


# --- the kernel's log -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "severity", "line"),
    [
        (b"4,339,5140900,-;e1000: link down\n SUBSYSTEM=pci\n", 4, "e1000: link down"),
        (b"30,340,5690716,c;systemd: started\n", 6, "systemd: started"),
        (rb"11,1,2,-;red \x1b[31m text \xf0\x9f", 3, "red [31m text"),
        ("12,1,2,-;\x1b[2J\u202ehidden ünïcødé".encode(), 4, "[2Jhidden ünïcødé"),
        (b"3,1,2,-;" + b"x" * 1000, 3, "x" * 200),
        (b"nonsense", 7, ""),
    ],
)
def test_a_record_of_the_kernel_is_read(record: bytes, severity: int, line: str) -> None:
    assert kernel_log.parse(record) == (severity, line)


def test_the_last_and_worst_warnings_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A reader gets one record at a time, EPIPE where some were overwritten, EAGAIN at the end."""
    log: list[bytes | OSError] = [b"6,1,1,-;quiet", OSError(errno.EPIPE, "overwritten")]
    log += [f"{number % 5},1,1,-;line {number}".encode() for number in range(8)]
    log += [OSError(errno.EAGAIN, "no more"), b"2,1,1,-;later"]

    def read(file: int, size: int) -> bytes:
        assert size >= 8192
        one = log.pop(0)
        if isinstance(one, OSError):
            raise one
        return one

    (tmp_path / "kmsg").touch()
    with host.KernelLog(tmp_path / "kmsg") as book:
        monkeypatch.setattr(os, "read", read)
        seen = book.new()
    monkeypatch.undo()
    assert seen is not None
    assert (seen.grave, seen.last) == (8, tuple(f"line {number}" for number in (2, 3, 5, 6, 7)))
    (finding,) = seen.findings()
    assert finding.code == "host.kernel-log"
    assert "8 times" in finding.what
    assert finding.what.endswith("among them line 2; line 3; line 5; line 6; line 7")
    assert kernel_log.Lines(0, ()).findings() == ()


def test_a_log_that_may_not_be_read_is_no_silent_log(tmp_path: Path) -> None:
    with host.KernelLog(tmp_path / "missing") as book:
        assert book.new() is None
    assert book.new() is None


def test_a_kernel_that_writes_without_end_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with host.KernelLog(Path(os.devnull)) as book:
        monkeypatch.setattr(os, "read", lambda file, size: b"4,1,1,-;again")
        seen = book.new()
    assert seen is not None
    assert seen.grave == kernel_log.MOST


@pytest.mark.real("root")
def test_this_kernel_is_heard() -> None:
    text = f"vmvc test {time.monotonic_ns()}"
    Path("/dev/kmsg").write_text(f"<4>{text} of before\n")
    with host.KernelLog() as book:
        before = book.new()
        assert before is not None
        assert not any(text in line for line in before.last)
        Path("/dev/kmsg").write_text(f"<4>{text}\n")
        Path("/dev/kmsg").write_text("<6>vmvc test: of no interest\n")
        seen = book.new()
        assert seen is not None
        assert [line for line in seen.last if text in line] == [text]
        assert not any("of no interest" in line for line in seen.last)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/stat and /proc/pressure are Linux's")
def test_noise_agrees_with_the_kernel() -> None:
    before = time.monotonic()
    seen = host.noise()
    after = time.monotonic()
    assert before <= seen.at <= after
    stat = dict(line.split(" ", 1) for line in Path("/proc/stat").read_text().splitlines())
    assert seen.context_switches <= int(stat["ctxt"])
    assert seen.steal == pytest.approx(int(stat["cpu"].split()[7]) / os.sysconf("SC_CLK_TCK"), abs=1)
    for name, stalled in seen.pressure.items():
        total = int(Path("/proc/pressure", name).read_text().splitlines()[0].rpartition("=")[2])
        assert stalled <= total / 1e6 <= stalled + 5


def test_the_boot_has_one_id() -> None:
    assert host.boot_id() == host.boot_id()
    assert host.boot_id() or sys.platform != "linux"


def test_pages_that_a_cpu_keeps_free_are_available(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zones = "Node 0, zone Normal\n  pages free 5\n        high     7\n  pagesets\n    cpu: 0\n"
    counts = "              count:    100\n              high:     4471\n              batch:    63\n"
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=10**9))
    assert host.mem_available(tmp_path) == 10**9
    root = planted(tmp_path, {"proc/zoneinfo": zones + counts + "    cpu: 1\n" + counts})
    assert host.mem_available(root) == 10**9 + 200 * mmap.PAGESIZE


def test_available_memory_falls_by_what_is_taken() -> None:
    """Others use the host too, so one quiet moment in five is enough."""
    drops = []
    for _ in range(5):
        before = host.mem_available()
        held = b"x" * 2**28
        drops.append(before - host.mem_available())
        del held
    assert any(drop == pytest.approx(2**28, rel=0.2) for drop in drops), drops
