"""The fake backend: the contract, and every line of its script."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from vmvc.backends.fake import FakeBackend, FakeOptions
from vmvc.contract import Backend, Guest
from vmvc.spec import BUILT_IN_IMAGES, Console, Exec, Http, ReadyConsole, ReadyExec, ReadyHttp
from vmvc.testing import BackendContract

GUEST = Guest(image=BUILT_IN_IMAGES["tiny"], cpus=1, memory=2**28, ready=ReadyHttp(http=Http(port=80)))


class TestContract(BackendContract):
    timeout = 10.0
    state: tempfile.TemporaryDirectory[str]

    @classmethod
    def setup_class(cls) -> None:
        cls.state = tempfile.TemporaryDirectory()

    @classmethod
    def teardown_class(cls) -> None:
        super().teardown_class()

    def options(self, **script: object) -> FakeOptions:
        return FakeOptions.model_validate({"state": self.state.name, **script})

    def backend(self) -> Backend:
        return FakeBackend("fake", self.options())

    def guest(self) -> Guest:
        return GUEST

    def stubborn(self) -> tuple[Backend, Guest]:
        ready = ReadyExec(exec=Exec(command=("true",)))
        return FakeBackend("fake", self.options(stop=3600.0)), replace(GUEST, ready=ready)

    def speaking(self) -> tuple[Backend, Guest]:
        ready = ReadyConsole(console=Console(pattern="vmvc speaks"))
        return FakeBackend("fake", self.options(console=("boot", "vmvc speaks"))), replace(GUEST, ready=ready)

    @contextmanager
    def stranger(self) -> Iterator[Callable[[], bool]]:
        folder = Path(self.state.name) / "somebody-elses"
        folder.mkdir()
        (folder / "labels.json").write_text('{"vmvc": "image"}')
        yield folder.exists

    def exits(self, status: int) -> Sequence[str]:
        return ("exit", str(status))

    def complains(self) -> Sequence[str]:
        return ("complain", "out", "err")
