"""Facts and state -> findings: what may spoil numbers here, each with its value and its remedy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from vmvc.contract import Finding, Scalar, Severity
from vmvc.host.counters import STOLEN, Noise
from vmvc.host.description import facts
from vmvc.host.state import State, look
from vmvc.units import show_bytes

BUSY: Final = 0.5
"""Load, or runnable tasks, per CPU above which a host is not idle."""
LITTLE_MEMORY: Final = 0.1
"""Part of the host's memory below which what is left is little; below ``LEAST_MEMORY`` it always is."""
LEAST_MEMORY: Final = 2**30
LEAST_DISK: Final = 2 * 2**30
NEAR: Final = 10.0
"""Kelvin below its limit at which a CPU is hot: a loaded one then reaches it, and slows down.

Source: Intel SDM volume 3, 16.8 (thermal monitor); Linux Documentation/hwmon/coretemp.rst.
"""


def memory_floor(total: int) -> int:
    """Return the bytes of available memory below which a host with so many has little."""
    return round(max(LEAST_MEMORY, LITTLE_MEMORY * total))


def findings(since: Noise | None = None) -> list[Finding]:
    """Return what may spoil numbers on this host now; changes nothing.

    ``since``: an earlier look at its counters, which saves the moment in which steal is counted.
    """
    return list(judge(facts(), look(since)))


def judge(about: Mapping[str, Scalar], state: State) -> Iterator[Finding]:
    """Compare facts and state with what a quiet host would show."""
    yield from _business(state)
    yield from _room(state)
    yield from _settings(about)
    yield from _heat(state)
    yield from _company(state)
    yield from _hypervisor(about, state)


def _business(state: State) -> Iterator[Finding]:
    if state.load is not None and state.load > BUSY * state.threads:
        yield _warning(
            "host.load",
            f"the host is busy: load {state.load:.2f} on {state.threads} CPUs, over {BUSY:g} each",
            "end what runs beside the experiment (top shows it), or wait",
        )
    if state.runnable is not None and state.runnable > BUSY * state.threads:
        yield _warning(
            "host.runnable",
            f"{state.runnable:g} other tasks want one of {state.threads} CPUs just now, over {BUSY:g} each",
            "end what runs beside the experiment (top shows it), or wait",
        )


def _room(state: State) -> Iterator[Finding]:
    if state.available < memory_floor(state.memory):
        yield _warning(
            "host.memory",
            f"little memory is free: {show_bytes(state.available)} of {show_bytes(state.memory)}",
            "end what holds memory, so that the host need not reclaim during a trial",
        )
    for folder, free in state.free.items():
        if free < LEAST_DISK:
            yield _warning(
                "host.disk",
                f"little disk is free: {show_bytes(free)} in {folder}, less than {show_bytes(LEAST_DISK)}",
                "make room there (vmvc clean and vmvc image remove free what vmvc made)",
            )
    if state.swap_used > 0:
        yield _warning(
            "host.swap",
            f"swap is in use: {show_bytes(state.swap_used)}; resident memory reads too low",
            "swapoff --all && swapon --all",
        )


def _settings(about: Mapping[str, Scalar]) -> Iterator[Finding]:
    if about.get("ksm_run") == 1:
        yield _warning(
            "host.ksm",
            f"KSM merges equal pages of guests ({about.get('ksm_pages_sharing', 'unknown')} now), so memory "
            "depends on their number and age",
            "echo 2 >/sys/kernel/mm/ksm/run",
        )
    if (governor := about.get("governor", "performance")) != "performance":
        yield _warning(
            "host.governor",
            f"the CPU frequency governor is {governor}, so speed depends on what ran before",
            "cpupower frequency-set --governor performance",
        )
    if about.get("turbo") is True:
        yield Finding(
            "host.turbo",
            Severity.INFO,
            "turbo is on: clock speed depends on temperature and on how many cores are busy",
            "switch it off where small differences matter (intel_pstate/no_turbo or cpufreq/boost)",
        )
    if about.get("smt") is True:
        yield Finding(
            "host.smt",
            Severity.INFO,
            "SMT is on: two busy threads of one core slow each other, so speed depends on where they run",
            "give the guest whole cores (tune: [cpus]), or echo off >/sys/devices/system/cpu/smt/control",
        )
    if about.get("thp") == "always":
        yield Finding(
            "host.thp",
            Severity.INFO,
            "transparent huge pages are always on: memory grows in steps of 2 MiB, touched or not",
            "echo madvise >/sys/kernel/mm/transparent_hugepage/enabled",
        )


def _heat(state: State) -> Iterator[Finding]:
    if state.hottest is not None and state.hottest[0] > state.hottest[1] - NEAR:
        now, limit = state.hottest
        yield _warning(
            "host.temperature",
            f"a CPU is at {now:.0f} degrees Celsius and slows down at {limit:.0f}",
            "let the host cool down, or improve its cooling",
        )
    if state.throttled:
        yield Finding(
            "host.throttling",
            Severity.INFO,
            f"too hot, CPUs of this host were slowed down {state.throttled} times since boot",
            "watch each trial's throttle_events, or improve the host's cooling",
        )


def _company(state: State) -> Iterator[Finding]:
    if state.guests:
        shown = ", ".join(f"{count} of {name}" for name, count in sorted(state.guests.items()))
        yield _warning(
            "host.guests",
            f"other containers or virtual machines run here: {shown}",
            "stop them for the time of the run (docker ps and virsh list show them)",
        )
    if state.clocks:
        yield Finding(
            "host.clock",
            Severity.INFO,
            f"{' and '.join(state.clocks)} steers the clocks: durations may be off by up to 0.05%, "
            "and wall-clock labels may jump",
            f"systemctl stop {' '.join(state.clocks)}, where differences that small matter",
        )


def _hypervisor(about: Mapping[str, Scalar], state: State) -> Iterator[Finding]:
    if about.get("virtualised") is True:
        platform_name = about.get("hardware", "of an unnamed platform")
        stolen = "" if state.steal is None else f"; {state.steal:.1%} of its CPU time since boot was stolen"
        yield _warning(
            "host.virtualised",
            f"this host is itself a virtual machine ({platform_name}){stolen}",
            "measure on bare hardware, or name the platform with every number and watch each trial's steal",
        )
        if about.get("nested") is not None:
            yield _warning(
                "host.nested",
                "KVM works here inside a virtual machine: each exit of a guest is handled twice",
                "compare machines on bare hardware; name them nested with every number",
            )
    if state.steal_now is not None and state.steal_now > STOLEN:
        yield _warning(
            "host.steal",
            f"the hypervisor takes away {state.steal_now:.1%} of the CPU time just now",
            "measure on bare hardware, or at a quieter hour",
        )


def _warning(code: str, what: str, remedy: str) -> Finding:
    return Finding(code, Severity.WARNING, what, remedy)
