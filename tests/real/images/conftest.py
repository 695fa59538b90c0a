"""Machines and engines that are gone after the test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import docker
import pytest

from tests.real.images.machine import Boots, Machine
from vmvc.contract import Guest
from vmvc.images import (
    bootable,
)


@pytest.fixture(name="boots")
def _boots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Boots]:
    machines: list[Machine] = []

    def boots(guest: Guest, **settings: Any) -> Machine:
        machine = Machine(bootable(guest), tmp_path_factory.mktemp("m"), **settings)
        machines.append(machine)
        return machine

    yield boots
    for machine in machines:
        machine.close()


@pytest.fixture(name="engine")
def _engine() -> Iterator[docker.APIClient]:
    api = docker.APIClient(version="auto")
    yield api
    api.close()
