"""What a Docker Engine says of itself -> what it lacks, and how a container differs from what was asked."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from typing import Any

from vmvc.backends.docker_client import DockerOptions
from vmvc.backends.docker_host import UNLIMITED, unlimited
from vmvc.contract import Finding, Guest, Severity
from vmvc.spec import ReadyConsole
from vmvc.units import show_bytes


def judge(
    info: Mapping[str, Any], networks: set[str], options: DockerOptions, local: bool
) -> Iterable[Finding]:
    """Say what this engine lacks."""
    if info.get("OSType") != "linux":
        yield Finding(
            "docker.not-linux",
            Severity.ERROR,
            f"the engine runs {info.get('OSType')} containers",
            "switch Docker Desktop to Linux containers",
        )
    known = info.get("Runtimes") or {}
    if (
        options.runtime
        and options.runtime not in known
        and not options.runtime.startswith(("/", "io.containerd."))
    ):
        yield Finding(
            "docker.runtime-unknown",
            Severity.ERROR,
            f"the engine has no runtime '{options.runtime}', it knows {', '.join(sorted(known))}",
            "register it under 'runtimes' in /etc/docker/daemon.json and restart the engine",
        )
    program = str((known.get(options.runtime or "") or {}).get("path", ""))
    if local and program and shutil.which(program) is None:
        yield Finding(
            "docker.runtime-missing",
            Severity.ERROR,
            f"the engine's runtime '{options.runtime}' is the program {program}, which is not on this host",
            "install it, or choose another: options.runtime",
        )
    if options.network not in networks:
        yield Finding(
            "docker.network-unknown",
            Severity.ERROR,
            f"the engine has no network '{options.network}', it knows {', '.join(sorted(networks))}",
            f"docker network create {options.network}",
        )
    for key, limit in (("MemoryLimit", "memory"), ("CpuCfsQuota", "CPU"), ("PidsLimit", "pids")):
        if not info.get(key, True):
            yield Finding(
                f"docker.no-{limit.lower()}-limit",
                Severity.WARNING,
                f"the engine cannot limit {limit}: guest settings have no effect on containers",
                "enable the kernel's cgroup controllers, and delegate them to a rootless engine",
            )
    if unlimited(info):
        yield Finding(
            "docker.no-limits",
            Severity.WARNING,
            f"{UNLIMITED}: guest.memory, cpus and pids have no effect on containers",
            "boot with version 2 of cgroups alone, or use an engine that root runs",
        )
    if not info.get("SwapLimit", True):
        yield Finding(
            "docker.no-swap-limit",
            Severity.INFO,
            "the engine cannot limit swap: a container may swap beyond its memory limit",
            "swapoff -a for the time of the run, or boot the kernel with swapaccount=1",
        )
    if info.get("Driver") == "vfs":
        yield Finding(
            "docker.storage-vfs",
            Severity.WARNING,
            "the storage driver vfs copies the whole image for every container",
            "use a storage driver with copy-on-write, such as overlay2",
        )
    if not local:
        yield Finding(
            "docker.elsewhere",
            Severity.INFO,
            "the engine is not on this host: processes, cgroups and disk blocks of containers will be absent",
            "run vmvc on the engine's own Linux host",
        )
    for warning in info.get("Warnings") or ():
        yield Finding(
            "docker.engine-warning", Severity.INFO, warning.removeprefix("WARNING: "), "see docker info"
        )


def differences(guest: Guest, info: Mapping[str, Any]) -> Iterable[Finding]:
    """Say where a container is not what the guest asks for."""
    if guest.boot == "systemd":
        yield Finding(
            "docker.boot",
            Severity.INFO,
            "a container has no boot: it runs its command directly, whatever guest.boot says",
            "compare with boot: command, so that both run the same",
        )
    if guest.ssh is not None:
        yield Finding(
            "docker.ssh",
            Severity.INFO,
            "a container needs no SSH: its engine runs commands in it, whatever guest.ssh says",
            "remember that a command by SSH takes longer by the way there (workload tells how long)",
        )
    if guest.made.cpus > info["NCPU"]:
        yield Finding(
            "docker.cpus",
            Severity.WARNING,
            f"Docker will refuse {guest.made.cpus} CPUs: the engine's host has {info['NCPU']}",
            "lower guest.cpus",
        )
    if guest.made.memory > info["MemTotal"]:
        yield Finding(
            "docker.memory",
            Severity.WARNING,
            f"the memory limit of {show_bytes(guest.made.memory)} exceeds what the host has: "
            f"{show_bytes(info['MemTotal'])}",
            "lower guest.memory",
        )
    if isinstance(guest.ready, ReadyConsole):
        yield Finding(
            "docker.console-lines",
            Severity.INFO,
            "Docker hands on a container's output line by line: a prompt without a newline is seen late",
            "match a whole line in the console probe",
        )
