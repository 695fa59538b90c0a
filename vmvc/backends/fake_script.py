"""A script and a trial -> what happens in each of its steps."""

from __future__ import annotations

import math
import os
import random
import shutil
import threading
import time
import uuid
from pathlib import Path
from typing import Literal

import platformdirs
import psutil

from vmvc.backends.fake_guest import CRASH_STATUS, Script
from vmvc.backends.fake_options import FakeOptions, Step
from vmvc.contract import Guest, Tag
from vmvc.errors import CleanupError, StepFailed


def _hang() -> None:
    threading.Event().wait()


class Scripted:
    """What the options say about one step of one trial."""

    def __init__(self, options: FakeOptions) -> None:
        self.options = options
        cache = Path(os.environ.get("VMVC_CACHE") or platformdirs.user_cache_dir("vmvc"))
        self.folder = Path(options.state) if options.state else cache / "fake"

    def aside(self, why: Literal["new", "gone"]) -> Path:
        """Return a new name for what is half made or half gone, which only this process knows about."""
        return self.folder / f".{why}-{os.getpid()}-{uuid.uuid4().hex}"

    def sweep_aside(self) -> None:
        """Remove what dead processes have left half made or half gone."""
        for folder in (*self.folder.glob(".new-*-*"), *self.folder.glob(".gone-*-*")):
            pid = folder.name.split("-")[1]
            if pid.isdecimal() and not psutil.pid_exists(int(pid)):
                shutil.rmtree(folder, ignore_errors=True)

    def log(self, call: str, name: str) -> None:
        if self.options.log:
            with open(self.options.log, "ab", buffering=0) as log:
                log.write(f"{call} {name}\n".encode())

    def duration(self, step: Literal["create", "start", "ready", "stop"], tag: Tag) -> float:
        """Return how long the step takes: the same for the same seed and trial in every process."""
        return self.varied(getattr(self.options, step), step, tag)

    def varied(self, nominal: float, what: str, tag: Tag) -> float:
        life = f"{tag.trial}m{tag.member}" if tag.member else str(tag.trial)
        spread = random.Random(f"{self.options.seed}:{life}:{what}").uniform(-1, 1)
        return nominal * (1 + spread * self.options.jitter)

    def faulty(self, tag: Tag) -> bool:
        """Say whether this trial is one of those in which things go wrong."""
        chosen = not self.options.fault_trials or tag.trial in self.options.fault_trials
        if self.options.recovers is not None and self._attempts(tag) > self.options.recovers:
            return False
        return (
            chosen
            and self.chosen(tag)
            and random.Random(f"{self.options.seed}:{tag.trial}").random() < self.options.fault_rate
        )

    def chosen(self, tag: Tag) -> bool:
        """Say whether this member of a fleet is one of those in which things go wrong."""
        return not self.options.fault_members or tag.member in self.options.fault_members

    def enter(self, step: Step, tag: Tag, at_most: float = math.inf) -> None:
        """Log the call, fail or take the time."""
        self.log(step, tag.name)
        if step == "create" and self.options.recovers is not None:
            self._counter(tag).parent.mkdir(parents=True, exist_ok=True)
            self._counter(tag).write_text(str(self._attempts(tag) + 1))
        self.fail(step, tag)
        if step in ("create", "start", "stop"):
            time.sleep(min(self.duration(step, tag), at_most))

    def _attempts(self, tag: Tag) -> int:
        counter = self._counter(tag)
        return int(counter.read_text()) if counter.exists() else 0

    def _counter(self, tag: Tag) -> Path:
        return self.folder / ".attempts" / tag.name

    def fail(self, step: Step, tag: Tag) -> None:
        reason = self.options.fail.get(step)
        if reason is not None and self.faulty(tag):
            error = CleanupError if step == "destroy" else StepFailed
            raise error(reason, hint=f"remove `fail.{step}` from its options")

    def leave(self, step: Step, tag: Tag) -> None:
        """Hang or crash after the step's effect, like an engine that has done it and never says so."""
        if self.options.crash == step and self.faulty(tag):
            os._exit(CRASH_STATUS)
        if self.options.hang == step and self.faulty(tag):
            _hang()

    def of_guest(self, tag: Tag, guest: Guest) -> Script:
        faulty, options = self.faulty(tag), self.options
        return Script(
            ready=guest.ready,
            ports=guest.ports,
            lines=options.console,
            ready_after=math.inf if faulty and options.hang == "ready" else self.duration("ready", tag),
            dies_after=options.dies_after if faulty and options.dies_after is not None else math.inf,
            refuses=faulty and "ready" in options.fail,
            crashes=faulty and options.crash == "ready",
        )
