"""The contract of machines that exist already: the fake backend keeps it, and planted faults are caught."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import pytest

from vmvc.backends.fake import FakeBackend
from vmvc.backends.fake_instance import FakeInstance
from vmvc.backends.fake_options import FakeOptions
from vmvc.contract import Backend, Guest, Preparation
from vmvc.spec import Http, ReadyHttp
from vmvc.testing import MachineContract
from vmvc.testing.machine import State

NAME = "ubuntu vm; $HOME"


class FakeMachines(MachineContract):
    """The contract of the fake backend, or of a faulty variant of it."""

    timeout = 10.0
    backend_type: ClassVar[type[FakeBackend]] = FakeBackend
    folder: ClassVar[tempfile.TemporaryDirectory[str]]
    found: ClassVar[State] = "off"

    @classmethod
    def setup_class(cls) -> None:
        cls.folder = tempfile.TemporaryDirectory()

    @classmethod
    def teardown_class(cls) -> None:
        cls.folder.cleanup()

    def backend(self) -> Backend:
        given = {"state": self.folder.name, "machines": {NAME: self.found}}
        return self.backend_type("fake", FakeOptions.model_validate(given))

    @contextmanager
    def off(self) -> Iterator[Guest]:
        type(self).found = "off"
        self._definition.write_text("{}")
        yield Guest(None, None, None, ReadyHttp(http=Http(port=80)), machine=NAME)

    @contextmanager
    def running(self) -> Iterator[Guest]:
        with self.off() as guest:
            type(self).found = "running"
            try:
                yield guest
            finally:
                type(self).found = "off"

    def state(self, guest: Guest) -> State:
        ours = list(Path(self.folder.name).glob("[!.]*/running.json"))
        return "running" if ours or json.loads(self._definition.read_text()).get("on") else self.found

    def definition(self, guest: Guest) -> object:
        return self._definition.read_text()

    @property
    def _definition(self) -> Path:
        return Path(self.folder.name) / "definition.json"


class TestFake(FakeMachines):
    """No fault, no complaint."""


# --- planted faults ---------------------------------------------------------------------------------------


class Writes(FakeInstance):
    def start(self) -> None:
        (self._folder.parent / "definition.json").write_text('{"description": "vmvc"}')
        super().start()


class LeavesItOn(FakeInstance):
    def destroy(self) -> None:
        super().destroy()
        if self.guest.machine is not None:
            (self._folder.parent / "definition.json").write_text('{"on": true}')


class HidesIt(FakeBackend):
    def leftovers(self) -> list[FakeInstance]:
        return []


class TakesWhatRuns(FakeBackend):
    def prepare(self, guest: Guest) -> Preparation:
        return Preparation({"existing_machine": str(guest.machine), "existing_id": "1"})


class CannotSay(FakeBackend):
    machines = False


def _with(instance: type[FakeInstance]) -> type[FakeBackend]:
    return type(instance.__name__, (FakeBackend,), {"instance_type": instance})


@pytest.mark.parametrize(
    ("planted", "test"),
    [
        (_with(Writes), "test_a_life_leaves_it_as_found"),
        (_with(LeavesItOn), "test_a_life_leaves_it_as_found"),
        (HidesIt, "test_what_a_dead_run_left_running_is_ended_by_its_tag"),
        (TakesWhatRuns, "test_one_that_runs_already_is_refused"),
        (TakesWhatRuns, "test_a_machine_that_is_not_there_is_refused"),
        (TakesWhatRuns, "test_one_that_is_off_cannot_be_observed"),
        (CannotSay, "test_the_backend_says_that_it_runs_machines"),
    ],
)
def test_a_planted_fault_is_caught(planted: type[FakeBackend], test: str) -> None:
    class Faulty(FakeMachines):
        backend_type = planted

    Faulty.setup_class()
    try:
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            getattr(Faulty(), test)()
    finally:
        Faulty.teardown_class()
