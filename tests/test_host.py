"""What a host says of itself: planted files, planted states, and this host against psutil."""

from __future__ import annotations

import dataclasses
import json
import mmap
import os
import platform
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from vmvc import host
from vmvc.contract import Scalar, Severity

GIB = 2**30
QUIET = host.State(
    threads=4,
    memory=16 * GIB,
    available=12 * GIB,
    swap_used=0,
    load=0.4,
    steal=0.0,
    free={"/data": 50 * GIB},
)
BARE: Mapping[str, Scalar] = {
    "governor": "performance",
    "ksm_run": 0,
    "turbo": False,
    "virtualised": False,
}


def planted(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


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
    ],
)
def test_a_state_that_spoils_numbers_is_found(change: Mapping[str, object], code: str) -> None:
    fields = {name: getattr(QUIET, name) for name in QUIET.__slots__}
    assert codes(BARE, host.State(**{**fields, **change})) == [code]


@pytest.mark.parametrize(
    "change", [{"load": 2.0}, {"memory": 4 * GIB, "available": GIB}, {"free": {"/data": 2 * GIB}}]
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
    ],
)
def test_a_setting_that_spoils_numbers_is_found(change: Mapping[str, Scalar], code: str) -> None:
    assert codes({**BARE, **change}, QUIET) == [code]


def test_every_finding_has_value_and_remedy() -> None:
    worst = host.State(
        threads=2, memory=GIB, available=2**20, swap_used=2**20, load=9.5, steal=0.123, free={"/data": 2**20}
    )
    bad: dict[str, Scalar] = {
        "governor": "ondemand",
        "ksm_run": 1,
        "ksm_pages_sharing": 77,
        "turbo": True,
        "virtualised": True,
    }
    found = {finding.code: finding for finding in host.judge(bad, worst)}
    assert len(found) == 8
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
    }
    for code, text in shown.items():
        assert text in found[code].what


def test_this_host_is_judged_without_error() -> None:
    assert [finding.code for finding in host.findings()] == list(
        dict.fromkeys(finding.code for finding in host.findings())
    )


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


def test_noise_that_the_host_does_not_show_is_left_out() -> None:
    silent = host.Noise(1.0, 7, None, None, {})
    assert host.noise_between(silent, dataclasses.replace(silent, at=2.0)) == {
        "seconds": 1.0,
        "context_switches": 0,
    }


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
