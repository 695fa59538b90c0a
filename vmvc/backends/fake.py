"""A script in the options -> a backend that is instant and obedient, for tests of whole paths.

Its guests are threads that really answer on the loopback; what exists is kept in a folder, so that any other
process finds and removes it, as with a real engine. Failures come on demand.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final

from vmvc.backends.fake_instance import GONE, KIND, LABELS, FakeInstance
from vmvc.backends.fake_machine import look_up
from vmvc.backends.fake_options import FakeOptions
from vmvc.backends.fake_script import Scripted
from vmvc.contract import Backend, Finding, Guest, Isolation, Options, Preparation, Scalar, Severity, Tag
from vmvc.errors import ImageError, Unavailable
from vmvc.spec import BUILT_IN_IMAGES, Exec, ReadyExec


class FakeBackend(Backend):
    """A backend of threads and folders."""

    kind: ClassVar[str] = KIND
    isolation: ClassVar[Isolation] = Isolation.NONE
    options_model: ClassVar[type[Options]] = FakeOptions
    says: ClassVar[str] = "scripted and instant, for trying things out: its numbers mean nothing"
    machines: ClassVar[bool] = True
    instance_type: ClassVar[type[FakeInstance]] = FakeInstance

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options)
        self._fetched = 0

    @property
    def _script(self) -> Scripted:
        assert isinstance(self.options, FakeOptions)
        return Scripted(self.options)

    def check(self) -> Sequence[Finding]:
        self._script.log("check", self.name)
        reason = self._script.options.fail.get("check")
        if reason is None:
            return ()
        return (Finding("fake.refuses", Severity.ERROR, reason, "remove `fail.check` from its options"),)

    def describe(self) -> Mapping[str, Scalar]:
        self._script.log("describe", self.name)
        return {"engine": "fake", "seed": self._script.options.seed}

    def prepare(self, guest: Guest) -> Preparation:
        self._script.log("prepare", self.name)
        if reason := self._script.options.fail.get("prepare"):
            raise ImageError(reason, hint="remove `fail.prepare` from its options")
        look_up(self._script.options.machines, guest)
        self._gone.unlink(missing_ok=True)
        if guest.machine is not None:
            return Preparation({"existing_machine": guest.machine, "existing_id": f"fake {guest.machine}"})
        return Preparation(facts={"image": "none"})

    def forget(self, guest: Guest) -> None:
        self._script.log("forget", self.name)
        if guest.machine is not None:
            raise Unavailable(f"the machine {guest.machine!r} exists already and is never removed")
        if reason := self._script.options.fail.get("forget"):
            raise Unavailable(reason, hint="remove `fail.forget` from its options")
        self._gone.parent.mkdir(parents=True, exist_ok=True)
        self._gone.touch()

    def fetch(self, guest: Guest) -> None:
        self._script.log("fetch", self.name)
        self._fetched += 1
        reason = self._script.options.fail.get("fetch")
        if reason and self._fetched in (self._script.options.fault_fetches or (self._fetched,)):
            raise ImageError(reason, hint="remove `fail.fetch` from its options")
        time.sleep(self._script.options.fetch)
        self._gone.unlink(missing_ok=True)

    @property
    def _gone(self) -> Path:
        return self._script.folder / GONE

    def instance(self, tag: Tag, guest: Guest) -> FakeInstance:
        return self.instance_type(tag, guest, self._script)

    def leftovers(self) -> Sequence[FakeInstance]:
        self._script.log("leftovers", self.name)
        self._script.sweep_aside()
        found = []
        for labels in sorted(self._script.folder.glob(f"[!.]*/{LABELS}")):
            try:
                tag = Tag.from_labels(json.loads(labels.read_text()))
            except FileNotFoundError:
                continue  # Another process is removing it.
            if tag is not None:
                found.append(self.instance_type(tag, _UNKNOWN, self._script))
        return found


_UNKNOWN: Final = Guest(
    image=BUILT_IN_IMAGES["tiny"], cpus=1, memory=1, ready=ReadyExec(exec=Exec(command=("true",)))
)
"""The guest of what another process left behind: only its tag is known, and only its removal makes sense."""
