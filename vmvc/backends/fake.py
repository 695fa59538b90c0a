"""A script in the options -> a backend that is instant and obedient, for tests of whole paths.

Its guests are threads that really answer on the loopback; what exists is kept in a folder, so that any other
process finds and removes it, as with a real engine. Failures come on demand.
"""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final, Literal

import platformdirs
import psutil
from pydantic import Field

from vmvc.backends.fake_guest import CRASH_STATUS, Console, RunningGuest, Script, execute
from vmvc.backends.fake_machine import State, look_up
from vmvc.backends.held import Held, held_by
from vmvc.contract import (
    Backend,
    Completed,
    DiskUsage,
    Finding,
    Guest,
    Instance,
    Isolation,
    Marks,
    Options,
    Preparation,
    Processes,
    Scalar,
    Severity,
    Tag,
)
from vmvc.errors import CleanupError, DeadlineExceeded, ImageError, StepFailed, Unavailable
from vmvc.spec import BUILT_IN_IMAGES, Exec, ReadyExec
from vmvc.units import Duration, Percent, Size

Step = Literal["create", "start", "ready", "run", "stop", "destroy"]

_KIND: Final = "fake"
_LABELS: Final = "labels.json"
_RUNNING: Final = "running.json"
GONE: Final = ".no-image"
"""File in the state's folder that is there while the image is not."""
_DESTROYS: Final = "destroys"


class FakeDisk(Options):
    """Bytes that the fake backend claims to use."""

    virtual: Size | None = Field(default=None, description="Size that the guest sees.")
    allocated: Size | None = Field(default=None, description="Blocks in use.")
    shared: Size | None = Field(default=None, description="The part that other instances use too.")
    unique: Size | None = Field(default=None, description="What removing only this instance would free.")


class FakeOptions(Options):
    """The script."""

    create: Duration = Field(default=0.0, description="How long `create` takes.")
    start: Duration = Field(default=0.0, description="How long `start` takes.")
    fetch: Duration = Field(default=0.0, description="How long it takes to have a removed image again.")
    ready: Duration = Field(default=0.0, description="Time from the start until the guest answers.")
    stop: Duration = Field(
        default=0.0, description="How long the guest takes to end; beyond the timeout it is forced."
    )
    jitter: Percent = Field(
        default=0.0,
        description="Each of these times, and the disk's bytes, vary by up to this much, by the seed.",
    )
    seed: int = Field(default=1, ge=0, description="Seed of the jitter and of the failures.")
    fail: Mapping[Step | Literal["check", "prepare", "forget", "fetch"], str] = Field(
        default_factory=dict, description="Steps that fail, with the reason."
    )
    hang: Step | None = Field(
        default=None, description="The step that never returns (`ready`: never answers)."
    )
    crash: Step | None = Field(default=None, description="The step in which the whole process ends at once.")
    dies_after: Duration | None = Field(default=None, description="The guest ends of itself after this time.")
    fault_trials: tuple[int, ...] = Field(
        default=(), description="Trials in which fail, hang, crash and dies_after happen; by default all."
    )
    fault_fetches: tuple[int, ...] = Field(
        default=(), description="Which calls of `fetch` fail, from 1; by default all."
    )
    fault_members: tuple[int, ...] = Field(
        default=(),
        description="Members of a fleet in which these and destroy_fails happen: 0 is the trial's own "
        "instance, the others count from 2; by default all.",
    )
    fault_rate: Percent = Field(
        default=1.0, description="Share of those trials in which they happen, by the seed."
    )
    recovers: int | None = Field(
        default=None,
        ge=0,
        description="Attempts at a trial in which they happen; the next one goes well. By default all.",
    )
    destroy_fails: int = Field(
        default=0, ge=0, description="How many times `destroy` fails before it succeeds."
    )
    leak: bool = Field(default=False, description="`destroy` claims success but removes nothing.")
    console: tuple[str, ...] = Field(
        default=("fake guest: booting", "fake guest: ready"),
        description="Lines that the guest prints: all but the last at once, the last when it is ready.",
    )
    disk: FakeDisk | None = Field(default=None, description="Disk usage to claim; by default none is known.")
    machines: Mapping[str, State] = Field(
        default_factory=dict,
        description="Machines that exist already, for `guest.machine`, and the state they are found in.",
    )
    log: str | None = Field(default=None, description="File that gets a line `CALL NAME` for every call.")
    state: str | None = Field(
        default=None, description="Folder that holds what exists; by default in the cache."
    )


class FakeInstance(Instance):
    """A folder while it exists, and a thread while it runs."""

    def __init__(self, tag: Tag, guest: Guest, script: _Scripted) -> None:
        super().__init__(tag, guest)
        self._script = script
        self._folder = script.folder / tag.name
        self._running: RunningGuest | None = None
        self._seen: Mapping[int, int] | None = None
        self._tell: Callable[[str], None] = lambda event: None

    def watch(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def marks(self) -> Marks:
        return Marks(absent=dict.fromkeys(("kernel", "init", "network"), "a fake guest has nothing of it"))

    def create(self) -> None:
        self._script.enter("create", self.tag)
        look_up(self._script.options.machines, self.guest)
        if self.guest.attach:
            self._attach()
            return
        if self.guest.machine is not None:
            Held(_KIND, str(self._script.folder), self.guest.machine, self.tag).take()
        if (self._script.folder / GONE).exists():
            raise StepFailed("the image is gone", hint="fetch it first")
        new = self._script.aside("new")
        new.mkdir(parents=True)
        (new / _LABELS).write_text(json.dumps(self.tag.labels()))
        try:
            new.rename(self._folder)
        except OSError as error:
            shutil.rmtree(new)
            raise StepFailed(
                f"{self.tag.name} exists already in {self._script.folder}", hint="vmvc clean"
            ) from error
        self._script.leave("create", self.tag)

    def _attach(self) -> None:
        """Play the guest that runs by somebody else's doing, while somebody looks at it."""
        ports: dict[int, int] = {}
        self._running = RunningGuest(
            self._script.of_guest(self.tag, self.guest),
            wanted=lambda: True,
            ended=lambda: None,
            announce=ports.update,
        )
        self._seen = ports

    def start(self) -> None:
        self._script.enter("start", self.tag)
        if self.guest.attach:
            return
        if not self._folder.exists():
            raise StepFailed(f"{self.tag.name} does not exist", hint="create it first")
        if self.alive():
            raise StepFailed(f"{self.tag.name} runs already", hint="start it once")
        if self._running is not None:
            self._running.end()
        marker = self._folder / _RUNNING
        self._running = RunningGuest(
            self._script.of_guest(self.tag, self.guest),
            wanted=marker.exists,
            ended=lambda: marker.unlink(missing_ok=True),
            announce=lambda ports: marker.write_text(
                json.dumps({"pid": os.getpid(), "ports": ports, "cpuset": self.guest.cpuset})
            ),
        )
        self._tell("exec")
        self._script.leave("start", self.tag)

    def exit_code(self) -> int:
        """Return 0: nothing of it runs that could end otherwise."""
        if self.alive():
            raise Unavailable(f"{self.tag.name} runs")
        return 0

    def endpoint(self, port: int) -> tuple[str, int]:
        self._script.log("endpoint", self.tag.name)
        return "127.0.0.1", self._state()[1][port]

    def console(self) -> Console:
        self._script.log("console", self.tag.name)
        if self._running is None:
            raise Unavailable(f"{self.tag.name} was not started by this process", hint="start it here")
        return self._running.console

    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
        self._script.enter("run", self.tag)
        self._state()
        if self._running is not None and not self._running.ready:
            return Completed(1, b"", b"the guest is not ready\n")
        completed = execute(argv, self.guest.env, stdin, timeout)
        self._script.leave("run", self.tag)
        return completed

    def alive(self) -> bool:
        try:
            self._state()
        except StepFailed:
            return False
        return True

    def processes(self) -> Processes:
        """Return the process whose thread the guest is."""
        return Processes(own=(self._state()[0],))

    def cpuset(self) -> tuple[int, ...] | None:
        """Return the CPUs that the running guest was told to stay on, as its folder records them."""
        told = json.loads((self._folder / _RUNNING).read_text())["cpuset"]
        return None if told is None else tuple(told)

    def cgroup(self) -> Path | None:
        return None

    def disk(self) -> DiskUsage:
        claims = (self._script.options.disk or FakeDisk()).model_dump()
        vary = self._script.varied
        claimed = {
            name: None if value is None else round(vary(value, "disk", self.tag))
            for name, value in claims.items()
        }
        absent = {name: "the script does not say" for name, value in claimed.items() if value is None}
        return DiskUsage(**claimed, absent=absent)

    def stop(self, *, timeout: float) -> None:
        if self.guest.attach:
            self._script.log("stop", self.tag.name)
            return
        needed = self._script.duration("stop", self.tag)
        self._script.enter("stop", self.tag, at_most=timeout)
        self._end()
        if needed > timeout:
            raise DeadlineExceeded(
                f"{self.tag.name} had not ended after {timeout:g} s and was ended by force",
                hint="raise trials.stop_timeout",
            )
        self._tell("stopped")
        self._script.leave("stop", self.tag)

    def destroy(self) -> None:
        self._script.log("destroy", self.tag.name)
        self._end()
        if (note := held_by(_KIND, self.tag)) is not None:
            note.drop()
        if not self._folder.exists():
            return
        self._script.fail("destroy", self.tag)
        self._fail_some_times()
        if not self._script.options.leak:
            gone = self._script.aside("gone")
            try:
                self._folder.rename(gone)
            except FileNotFoundError:
                return  # Another process was faster.
            shutil.rmtree(gone)
        self._script.leave("destroy", self.tag)

    def _end(self) -> None:
        (self._folder / _RUNNING).unlink(missing_ok=True)
        self._seen = None
        if self._running is not None:
            self._running.end()

    def _fail_some_times(self) -> None:
        counter = self._folder / _DESTROYS
        failed = int(counter.read_text()) if counter.exists() else 0
        if failed < self._script.options.destroy_fails and self._script.faulty(self.tag):
            counter.write_text(str(failed + 1))
            raise CleanupError(f"{self.tag.name} could not be removed, as its script says", hint="vmvc clean")

    def _state(self) -> tuple[int, dict[int, int]]:
        """Return the process and the ports of the running guest.

        Raises: StepFailed where it does not run.
        """
        if self._seen is not None:
            return os.getpid(), dict(self._seen)
        try:
            state = json.loads((self._folder / _RUNNING).read_text())
        except (FileNotFoundError, ValueError) as error:
            raise StepFailed(f"{self.tag.name} does not run", hint="start it first") from error
        if state["pid"] != os.getpid() and not psutil.pid_exists(state["pid"]):
            raise StepFailed(f"{self.tag.name} has ended with its process", hint="vmvc clean")
        return state["pid"], {int(port): host for port, host in state["ports"].items()}


class FakeBackend(Backend):
    """A backend of threads and folders."""

    kind: ClassVar[str] = _KIND
    isolation: ClassVar[Isolation] = Isolation.NONE
    options_model: ClassVar[type[Options]] = FakeOptions
    says: ClassVar[str] = "scripted and instant, for trying things out: its numbers mean nothing"
    machines: ClassVar[bool] = True
    instance_type: ClassVar[type[FakeInstance]] = FakeInstance

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options)
        self._fetched = 0

    @property
    def _script(self) -> _Scripted:
        assert isinstance(self.options, FakeOptions)
        return _Scripted(self.options)

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
        for labels in sorted(self._script.folder.glob(f"[!.]*/{_LABELS}")):
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


def _hang() -> None:
    threading.Event().wait()


class _Scripted:
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
