"""A guest -> a process on the bare host, the baseline: the same root file system, no isolation."""

from __future__ import annotations

import json
import os
import platform
import secrets
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Final

import psutil

from vmvc import images, owner
from vmvc.backends import ports, process_plan, process_tree
from vmvc.backends.process_instance import TAG, ProcessInstance, instances
from vmvc.backends.process_launch import Launcher
from vmvc.backends.process_root import Recipe
from vmvc.contract import Backend, Finding, Guest, Isolation, Options, Preparation, Scalar, Severity, Tag
from vmvc.errors import EngineError, Fault, InputError, StepFailed, Unavailable
from vmvc.spec import BUILT_IN_IMAGES, DiskImage, Exec, GuestSpec, ReadyExec

SYS_CHROOT: Final = 18
SYS_ADMIN: Final = 21
"""Numbers of the capabilities that a root of its own takes."""


class ProcessBackend(Backend):
    """Processes on this host: chrooted into a copy-on-write root where that is allowed, else its programs."""

    kind: ClassVar[str] = "process"
    isolation: ClassVar[Isolation] = Isolation.NONE
    says: ClassVar[str] = "the bare host, the baseline: the same root file system by chroot, no limits"

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options)
        self._running: Launcher | None = None
        self._recipes: dict[str, Recipe] = {}

    def check(self) -> Sequence[Finding]:
        if sys.platform != "linux":
            return [
                Finding(
                    "process.not-linux",
                    Severity.ERROR,
                    f"guests are Linux programs and this host runs {platform.system()}",
                    "leave the baseline out, or run vmvc on Linux",
                )
            ]
        return [] if _may_chroot() else [_not_root()]

    def describe(self) -> Mapping[str, Scalar]:
        if sys.platform != "linux":
            return {}
        return {
            "root": "chroot" if _may_chroot() else "host",
            "kernel": platform.release(),
            "cpus": psutil.cpu_count() or 1,
            "memory": psutil.virtual_memory().total,
        }

    def prepare(self, guest: Guest) -> Preparation:
        if isinstance(guest.made.image, DiskImage):
            raise InputError(
                Fault(f"backend '{self.name}' runs programs; a disk image boots only in a virtual machine")
            )
        for port in guest.ports:
            if what := ports.obstacle(port):
                raise EngineError(
                    f"the bare host shares its ports with the guest: {what}",
                    hint="stop it, or let the guest use another port",
                )
        root = images.root_filesystem(guest.made.image, guest.folder)
        stop = _signal(root.stop_signal)
        if not _may_chroot():
            recipe = Recipe(process_plan.on_host(guest, root, dict(os.environ)), stop)
        else:
            lower = images.unpacked(root)
            recipe = Recipe(process_plan.in_root(guest, root, lower), stop, lower)
            recipe = replace(recipe, copy=not self._overlay_works(recipe))
        self._recipes[_key(guest)] = recipe
        facts: dict[str, Scalar] = {
            "image": root.digest,
            "command": json.dumps(recipe.plan.argv),
            "root": "host" if recipe.lower is None else "copy" if recipe.copy else "overlay",
            "user": json.dumps(recipe.plan.user),
            **({} if guest.cpuset is None else {"cpuset": guest.cpu_list}),
            "stop_signal": signal.Signals(stop).name if stop in set(signal.Signals) else str(stop),
        }
        return Preparation(facts, tuple(_differences(guest, recipe)))

    def forget(self, guest: Guest) -> None:
        if not _may_chroot():
            raise Unavailable("without root the baseline runs the host's own programs: there is no image")
        images.discard_unpacked(images.root_filesystem(guest.made.image, guest.folder))

    def fetch(self, guest: Guest) -> None:
        images.unpacked(images.root_filesystem(guest.made.image, guest.folder))

    def instance(self, tag: Tag, guest: Guest) -> ProcessInstance:
        return ProcessInstance(tag, guest, self._launcher, self._recipes.get(_key(guest)))

    def leftovers(self) -> Sequence[ProcessInstance]:
        tags = {tag for tag, _ in process_tree.labelled()}
        for file in instances().glob(f"*/{TAG}"):
            try:
                tag = Tag.from_labels(json.loads(file.read_text()))
            except (OSError, ValueError):
                continue  # removed meanwhile, or not written by vmvc
            if tag is not None and tag.name == file.parent.name:
                tags.add(tag)
        return [self.instance(tag, _ANY_GUEST) for tag in sorted(tags, key=lambda tag: tag.name)]

    def close(self) -> None:
        if self._running is not None:
            self._running.close()
            self._running = None

    def _launcher(self) -> Launcher:
        if self._running is None:
            self._running = Launcher()
        return self._running

    def _overlay_works(self, recipe: Recipe) -> bool:
        """Try it where instances will be: some file systems cannot be the upper layer of an overlay."""
        tag = Tag(f"prepare-{os.getpid()}-{secrets.token_hex(4)}", 0, owner.current())
        trial = ProcessInstance(tag, replace(_ANY_GUEST, ready=_NO_PORT), self._launcher, recipe)
        try:
            trial.create()
        except StepFailed:
            return False
        finally:
            trial.destroy()
        return True


_ANY_GUEST: Final = Guest(
    image=BUILT_IN_IMAGES["tiny"], cpus=1, memory=GuestSpec().memory, ready=GuestSpec().ready
)
"""Stands for the guest of a process that is only to be removed."""
_NO_PORT: Final = ReadyExec(exec=Exec(command=("true",)))


def _key(guest: Guest) -> str:
    return f"{guest.folder}:{guest.made.image.model_dump_json()}:{guest.command}:{sorted(guest.env.items())}"


def _may_chroot() -> bool:
    """Say whether this process may make mounts and change its root."""
    status = Path("/proc/self/status").read_text()
    effective = int(next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), 16)
    return all(effective >> capability & 1 for capability in (SYS_CHROOT, SYS_ADMIN))


def _signal(name: str) -> int:
    """Read a stop signal as images write it: ``SIGTERM``, ``TERM``, ``15``, ``SIGRTMIN+3``."""
    base, _, offset = name.partition("+")
    if base.isdigit():
        return int(base)
    return int(signal.Signals["SIG" + base.removeprefix("SIG")]) + int(offset or 0)


def _not_root() -> Finding:
    return Finding(
        "process.not-root",
        Severity.WARNING,
        "without root the baseline runs this host's own programs and files, not those of the image",
        "run vmvc as root",
    )


def _differences(guest: Guest, recipe: Recipe) -> Iterator[Finding]:
    """Say where the bare host is not what the guest asks for."""
    if recipe.lower is None:
        yield _not_root()
    if recipe.copy:
        yield Finding(
            "process.copy",
            Severity.WARNING,
            "this host refuses an overlay there, so every instance copies the image: creating it is slow",
            "put the cache on ext4, xfs or btrfs: VMVC_CACHE",
        )
    cpus = f"CPU {guest.cpu_list}" if guest.cpuset else f"all {psutil.cpu_count()} CPUs"
    yield Finding(
        "process.limits",
        Severity.INFO,
        f"the bare host limits nothing: the command may use {cpus} and all memory; "
        "its ports are the host's own",
        "run as many workload threads as guest.cpus on every backend",
    )
    if guest.boot == "systemd":
        yield Finding(
            "process.boot",
            Severity.INFO,
            "a process has no boot: the command runs directly, whatever guest.boot says",
            "compare with boot: command, so that all run the same",
        )
    if guest.ssh is not None:
        yield Finding(
            "process.ssh",
            Severity.INFO,
            "a process needs no SSH: commands run beside it, whatever guest.ssh says",
            "remember that a command by SSH takes longer by the way there",
        )
