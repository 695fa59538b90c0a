"""VirtualBox keeps every promise of the contract, on machines that it really starts; to be run in the lab."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar

import pytest

from vmvc.backends.virtualbox import VirtualBoxBackend, VirtualBoxOptions
from vmvc.backends.virtualbox_manage import Manage
from vmvc.contract import Backend, Guest, Tag
from vmvc.spec import BUILT_IN_IMAGES, Http, ReadyHttp
from vmvc.testing import BackendContract

OPTIONS = VirtualBoxOptions(kernel_arguments=("quiet", "mitigations=off", "nokaslr"))
"""What spares an emulated guest of an emulated host half of its time."""
PATIENCE = 300.0
"""Seconds for VBoxManage to do one thing, in a lab that has a part of a CPU."""


def manage(*arguments: str) -> str:
    return Manage(patience=PATIENCE).run(*arguments, doing=f"{arguments[0]} as the test asks")


class TestVirtualBox(BackendContract):
    timeout: ClassVar[float] = 600.0
    slack: ClassVar[float] = 60.0
    has_forget = True
    large = 2**14
    """The serial port carries some 10 KB a second on hardware, and less here."""

    def backend(self) -> Backend:
        return VirtualBoxBackend("virtualbox", OPTIONS, PATIENCE)

    def guest(self) -> Guest:
        ready = ReadyHttp(http=Http(port=80, interval=2.0))
        return Guest(BUILT_IN_IMAGES["tiny"], cpus=1, memory=192 * 2**20, ready=ready)

    @contextmanager
    def stranger(self) -> Iterator[Callable[[], bool]]:
        """Make machines whose names, groups and descriptions could be taken for ours."""
        run = secrets.token_hex(4)
        labels = Tag(run, 2, "host:1:1").labels()
        made = [
            (f"vmvc-{run}-1", "/vmvc", ""),
            (f"vmvc-{run}-2", "/", json.dumps(labels)),
            (f"vmvc-{run}-3", "/vmvc", json.dumps({**labels, "vmvc": "image", "vmvc.trial": "3"})),
        ]
        for name, group, description in made:
            manage("createvm", "--name", name, "--groups", group, "--register")
            manage("modifyvm", name, "--description", description)
        try:
            yield lambda: all(f'"{name}"' in manage("list", "vms") for name, _, _ in made)
        finally:
            for name, _, _ in made:
                manage("unregistervm", name, "--delete")


@pytest.fixture(autouse=True, scope="module")
def _nothing_remains() -> Iterator[None]:
    yield
    assert manage("list", "vms") == ""
    assert manage("list", "hdds") == ""
