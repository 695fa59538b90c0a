"""All that a plug-in imports: the contracts of backends, instances and metrics, and the data they exchange.

A backend says how a guest is run and isolated; an instance is one running container, machine or process; a
metric turns events or a ready instance into readings. The runner holds the only clock: no backend measures
time. Everything here is plain data or an abstract class, so a plug-in is one file.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from statistics import fmean, median
from typing import Any, ClassVar, Final, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from vmvc.errors import Fault, InputError, Unavailable
from vmvc.spec import DiskImage, Image, Ready, ReadyHttp, ReadyTcp
from vmvc.spec_machine import OWN_PORT, USUAL_PORT, Ssh

Scalar = str | int | float | bool
"""A fact: what ``describe`` and ``prepare`` record."""

LABEL: Final = "vmvc"
"""Label, metadata prefix and name prefix of everything that vmvc makes."""


# --- words ------------------------------------------------------------------------------------------------


class Isolation(StrEnum):
    """What stands between the guest and the host."""

    NONE = "none"
    CONTAINER = "container"
    VM = "vm"


class Severity(StrEnum):
    """``info``: worth knowing; ``warning``: may spoil a number; ``error``: nothing can run."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that may spoil a number (or stop the run), with its remedy.

    ``code`` is stable and machine-readable (``docker.unreachable``); ``remedy`` is one action.
    """

    code: str
    severity: Severity
    what: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Quantity:
    """One named value of a metric.

    ``unit`` is one of ``vmvc.units.UNITS``: ``"s"``, ``"B"``, ``"1"`` (a count or a ratio), ``"B/s"``...;
    ``says`` is one sentence of meaning. ``rule``: how iterations within a trial become its one value, ""
    where there are none. ``host_best``: no guest can be better than the bare host, so one that is 3% better
    is a finding.
    """

    name: str
    unit: str
    better: Literal["lower", "higher", "neutral"]
    says: str
    rule: Literal["", "mean", "median"] = ""
    host_best: bool = False
    own_clock: bool = False
    """True of what the guest's own clock told: it is never compared with another backend's."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One measured value of a quantity, in its unit.

    ``resolution``, in that unit: the true value lies in [value - resolution, value]; ``None``: not known.
    ``iterations``: the values within this trial that ``value`` is made of by the quantity's ``rule``, in
    their order; no independent samples, so never pooled. ``warmups``: those before them, in no statistic.
    """

    quantity: str
    value: float
    resolution: float | None = None
    iterations: tuple[float, ...] = ()
    warmups: tuple[float, ...] = ()

    @classmethod
    def over(
        cls,
        quantity: Quantity,
        iterations: Sequence[float],
        *,
        warmups: Sequence[float] = (),
        resolution: float | None = None,
    ) -> Reading:
        """Make the trial's value of its iterations, by the rule of the quantity."""
        value = median(iterations) if quantity.rule == "median" else fmean(iterations)
        return cls(quantity.name, value, resolution, tuple(iterations), tuple(warmups))


@dataclass(frozen=True, slots=True)
class Absent:
    """A quantity that could not be had, and why."""

    quantity: str
    reason: str


@dataclass(frozen=True, slots=True)
class Series:
    """Values in the order in which they were taken: they get a file of their own, and no statistics.

    ``columns``: name -> unit (as of a quantity). A row has a value for those columns that it has one for.
    """

    columns: Mapping[str, str]
    rows: Sequence[Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Event:
    """An instant of a trial: nanoseconds on the host's monotonic clock.

    ``resolution`` (seconds) bounds how late the instant may be recorded; 0.0 means the host was told.
    """

    at: int
    resolution: float = 0.0


MOST_OUTPUT: Final = 16 * 2**20
"""Most bytes that a command in an instance may print to either stream; one that prints more is ended."""

EVENTS: Final = (
    *("requested", "created", "started", "console", "kernel", "init", "network", "exec", "ready"),
    *("stop_requested", "stopped", "gone"),
)
"""Names of events in the order in which they happen in a machine; a trial has those that its backend has.

``requested``: just before ``create``; ``created``: ``create`` returned; ``started``: ``start`` returned;
``console``: the first byte of the guest arrived; ``kernel``: the first line of the guest's kernel did;
``init``: the guest's kernel has started its first process; ``network``: the guest's interface is up;
``exec``: the guest's command is executed; ``ready``: the probe succeeded; ``stop_requested``: just before
``stop``; ``stopped``: the guest's command has ended; ``gone``: ``stop`` returned, the guest has ended.
A container has its network before ``exec``, and that before ``started``: an engine starts it in one call.
"""


@dataclass(frozen=True, slots=True)
class Marks:
    """How the runner learns of events that no call of a backend tells it.

    ``lines``: event -> regular expression of the line by which the guest's own system announces it on the
    console; a group ``status`` in that of ``stopped`` is the command's exit code or the name of its signal.
    ``absent``: event -> why there is none here.
    """

    lines: Mapping[str, str] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a guest ended that was asked to.

    ``orderly``: of itself; else it had to be ended by force. ``code``: exit code of its command, 128 and N
    where signal N ended it; ``None`` where it is not known, for the ``reason``.
    """

    orderly: bool
    code: int | None = None
    reason: str = ""


IMAGE_EVENTS: Final = ("image_requested", "image_ready")
"""Before all others, in a trial whose image was removed first: just before ``fetch``; ``fetch`` returned."""


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that ended inside an instance; a non-zero ``returncode`` is a value, not an error."""

    returncode: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True, slots=True)
class Processes:
    """Host process ids of an instance; ``shared`` daemons serve other instances too."""

    own: tuple[int, ...] = ()
    helpers: tuple[int, ...] = ()
    shared: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """Bytes on the host's storage; ``None`` where it cannot be known, with the reason in ``absent``.

    ``virtual``: the size that the guest sees. ``allocated``: blocks in use for this instance and everything
    it stands on, each counted once. ``shared``: the part of it that other instances use too (base image,
    layers). ``unique``: what would come back if only this instance were removed.
    """

    virtual: int | None = None
    allocated: int | None = None
    shared: int | None = None
    unique: int | None = None
    absent: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tag:
    """Who made a thing: its run, its trial (0: not of a trial), its owner ``host:pid:start``, and its member.

    ``member``: 0 for the trial's own instance, from 2 up for the further ones of a fleet. Everything that a
    backend makes carries the tag, so that a dead run can be swept without harm to others.
    """

    run: str
    trial: int
    owner: str
    member: int = 0

    @property
    def name(self) -> str:
        """A name that is safe as container, domain, file and host name: ``vmvc-RUN-TRIAL``, then ``-mN``."""
        return f"{LABEL}-{self.run}-{self.trial}" + (f"-m{self.member}" if self.member else "")

    def labels(self) -> dict[str, str]:
        """Return the tag as text; those of a trial's own instance are among those of its members too.

        So whoever looks for labels must compare tags, not labels.
        """
        return {
            LABEL: "instance",
            f"{LABEL}.run": self.run,
            f"{LABEL}.trial": str(self.trial),
            f"{LABEL}.owner": self.owner,
            **({f"{LABEL}.member": str(self.member)} if self.member else {}),
        }

    def same_trial(self, other: Tag) -> bool:
        """Say whether both are of one trial: its own instance or a member of its fleet."""
        return (self.run, self.trial, self.owner) == (other.run, other.trial, other.owner)

    @classmethod
    def from_labels(cls, labels: Mapping[str, str]) -> Tag | None:
        """Read back ``labels``; ``None`` where they are not those of a tag."""
        try:
            tag = cls(
                run=labels[f"{LABEL}.run"],
                trial=int(labels[f"{LABEL}.trial"]),
                owner=labels[f"{LABEL}.owner"],
                member=int(labels.get(f"{LABEL}.member", "0")),
            )
        except (KeyError, ValueError):
            return None
        return tag if labels.get(LABEL) == "instance" else None


@dataclass(frozen=True, slots=True)
class Made:
    """What is asked for of a guest that vmvc makes; memory in bytes."""

    image: Image
    cpus: int
    memory: int


@dataclass(frozen=True, slots=True)
class Guest:
    """What one condition asks for, the same on every backend; ``folder`` anchors relative paths.

    ``image``, ``cpus`` and ``memory`` are ``None`` of a ``machine`` that exists already: it brings its own.
    """

    image: Image | None
    cpus: int | None
    memory: int | None
    ready: Ready
    command: tuple[str, ...] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    boot: Literal["command", "systemd"] = "command"
    folder: Path = Path()
    pids: int | None = None
    """Most processes and threads at a time; ``None``: no limit is asked for."""
    cpuset: tuple[int, ...] | None = None
    """CPUs of the host that all of the guest must stay on; ``None``: it is free."""
    machine: str | None = None
    """Name of a machine that the user has; it is started and stopped, and never changed or removed."""
    attach: bool = False
    """The machine runs already and is only observed: neither started nor stopped."""
    address: str | None = None
    """Where the host reaches the machine's ports; ``None``: the backend finds out."""
    ssh: Ssh | None = None
    """How commands get into a machine by SSH; ``None``: only by the backend's own way."""
    reach: tuple[int, ...] = ()
    """Guest ports that metrics must reach from the host."""

    @property
    def made(self) -> Made:
        """What vmvc is to make.

        Raises: InputError where the guest is a machine that exists already.
        """
        if self.image is None or self.cpus is None or self.memory is None:
            what = f"this backend runs no machine that exists already, got {self.machine!r}"
            raise InputError(Fault(what, hint="give it an image of its own: guest: {image: tiny}"))
        return Made(self.image, self.cpus, self.memory)

    @property
    def cpu_list(self) -> str:
        """``cpuset`` as the kernel, Docker and libvirt read it; "" where the guest is free."""
        return ",".join(map(str, self.cpuset or ()))

    @property
    def ports(self) -> tuple[int, ...]:
        """Guest ports that the host must reach."""
        match self.ready:
            case ReadyHttp(http=probe):
                probed: tuple[int, ...] = (probe.port,)
            case ReadyTcp(tcp=probe):
                probed = (probe.port,)
            case _:
                probed = ()
        return tuple(dict.fromkeys((*probed, *self.reach)))

    @property
    def forwarded(self) -> tuple[int, ...]:
        """Ports of a machine that the host must reach: those, and the one by which commands get in."""
        ssh = () if self.ssh_port is None else (self.ssh_port,)
        return tuple(dict.fromkeys((*self.ports, *ssh)))

    @property
    def brings_ssh(self) -> bool:
        """Say whether the machine is a user's, or boots a disk of the user's: its SSH server is its own."""
        return self.machine is not None or isinstance(self.image, DiskImage)

    @property
    def ssh_port(self) -> int | None:
        """The port by which commands get in by SSH; ``None`` where they do not."""
        if self.ssh is None:
            return None
        return self.ssh.port or (USUAL_PORT if self.brings_ssh else OWN_PORT)


@dataclass(frozen=True, slots=True)
class Preparation:
    """What ``prepare`` found and made: facts for ``run.json`` (digests, command line or XML) and findings."""

    facts: Mapping[str, Scalar] = field(default_factory=dict)
    findings: Sequence[Finding] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """What the platform holds an instance to; ``None`` where it sets no limit, with the reason in ``absent``.

    ``cpus``: CPU seconds per second; ``memory``: bytes; ``pids``: processes and threads at a time.
    ``held_by``: a ``cgroup`` of the host, or the ``machine``, whose size is the limit.
    """

    cpus: float | None = None
    memory: int | None = None
    pids: int | None = None
    held_by: Literal["", "cgroup", "machine"] = ""
    absent: Mapping[str, str] = field(default_factory=dict)


NO_LIMIT: Final = "this backend sets no limit"
"""Why a backend that promises nothing has no limits."""


class ByteStream(Protocol):
    """What a guest prints, as it arrives."""

    def read(self, timeout: float) -> bytes | None:
        """Return what arrived, ``b""`` at the end, ``None`` where nothing came within ``timeout`` seconds."""

    def close(self) -> None:
        """Release the stream; may be called twice, and from another thread than ``read``."""


class Clock(Protocol):
    """The runner's clock; tests inject their own."""

    def now(self) -> int:
        """Return nanoseconds on the host's monotonic clock."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class MonotonicClock:
    """CLOCK_MONOTONIC, the same in every process of this host."""

    def now(self) -> int:
        return time.monotonic_ns()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class Options(BaseModel):
    """Base of a plug-in's own options: frozen, closed, strict; merged into the JSON Schema.

    Give every field a description. Use ``vmvc.units`` types for durations and sizes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


# --- backends ---------------------------------------------------------------------------------------------


class Instance(ABC):
    """One container, machine or process of one trial.

    Making the object touches nothing. The runner calls ``create``, ``start``, then (ready or not) what the
    metrics need, ``stop`` and always ``destroy``. ``destroy`` may be the only call ever made: another process
    removes by it what a dead one left behind.

    Of a machine that exists already (``guest.machine``) nothing is made, changed or removed: ``create`` finds
    it and refuses one that already runs, has a saved state or is in use; ``destroy`` ends what ``start`` has
    started, and it is left as it was found. With ``guest.attach`` it must run, and is only reached and looked
    at: ``start``, ``stop`` and ``destroy`` leave it alone.
    """

    hides_memory: ClassVar[bool] = False
    """True where the platform's driver may hold memory of the guest that no process shows."""

    def __init__(self, tag: Tag, guest: Guest) -> None:
        self.tag = tag
        self.guest = guest

    def watch(self, tell: Callable[[str], None]) -> None:  # noqa: B027 - most platforms tell by their calls
        """Have ``tell`` called with the name of an event as soon as the platform says that it happened.

        For ``network``, ``exec`` and ``stopped``. Called once, before ``create``, where a trial is timed;
        ``tell`` may be called from any thread, and what it is told twice or too late it does not mind.
        """

    def marks(self) -> Marks:
        """Say which lines of the console announce events, and which events there are none of here."""
        return Marks()

    @abstractmethod
    def create(self) -> None:
        """Define the instance: everything in place, nothing running."""

    @abstractmethod
    def start(self) -> None:
        """Return when the platform has accepted the start; the guest need not answer yet."""

    @abstractmethod
    def endpoint(self, port: int) -> tuple[str, int]:
        """Return host and port where this host reaches the guest's ``port`` (one of ``guest.ports``)."""

    @abstractmethod
    def console(self) -> ByteStream:
        """Return what the guest prints from its start; called once, after ``start``.

        Raises: Unavailable where the platform has no console.
        """

    @abstractmethod
    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Completed:
        """Run a command inside, without a shell, every argument as given.

        A command that cannot be found ends with 127.

        Raises: Unavailable where there is no way in; DeadlineExceeded after ``timeout`` seconds; StepFailed
        where it prints more than ``MOST_OUTPUT``. In both cases it is ended.
        """

    @abstractmethod
    def alive(self) -> bool:
        """Say whether the guest still runs; cheap (well under a millisecond), so no engine is asked."""

    def exit_code(self) -> int:
        """Return the exit code of the guest's command that has ended, 128 and N where signal N ended it.

        Raises: Unavailable where the platform does not tell.
        """
        raise Unavailable("the platform does not tell how the guest's command ended")

    def epitaph(self) -> str:
        """Say in a few words how a guest that is not alive ended; "" where the platform does not tell."""
        return ""

    @abstractmethod
    def processes(self) -> Processes:
        """Return the host pids.

        Raises: Unavailable where they cannot be seen (an engine on another host).
        """

    @abstractmethod
    def cgroup(self) -> Path | None:
        """Return the folder of the instance's memory cgroup (v2 or v1), ``None`` where it has none."""

    @abstractmethod
    def disk(self) -> DiskUsage:
        """Return the bytes on the host's storage."""

    def limits(self) -> Limits:
        """Return what the platform has been told to hold the instance to; nothing is measured.

        By default none: a metric that must not harm the host leaves such an instance alone.
        """
        return Limits(absent=dict.fromkeys(("cpus", "memory", "pids"), NO_LIMIT))

    @abstractmethod
    def stop(self, *, timeout: float) -> None:
        """End the guest in an orderly way; return when the platform says that it has ended.

        Raises: DeadlineExceeded where the guest had not ended of itself after ``timeout`` seconds (it may
        have been ended by force then).
        """

    @abstractmethod
    def destroy(self) -> None:
        """Remove everything that was made, from any state, any number of times; nothing there is success.

        Raises: CleanupError where something remains.
        """


class Backend(ABC):
    """A way to run and isolate a guest.

    The object is made from its name in the experiment and its options, touches nothing until it is used, and
    can be pickled until then: it is used in a child process. Order of calls: ``check``, ``describe``,
    ``prepare`` for every guest, then ``instance`` for every trial; ``close`` at the end.
    """

    kind: ClassVar[str]
    isolation: ClassVar[Isolation]
    options_model: ClassVar[type[Options]] = Options
    says: ClassVar[str]
    """One line for ``vmvc list backends``."""
    machines: ClassVar[bool] = False
    """True where a guest can be a machine that exists already: ``guest.machine``."""

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self.options = options

    def isolated_by(self) -> Isolation:
        """Return what stands between guest and host with these options; by default what the class says."""
        return self.isolation

    @abstractmethod
    def check(self) -> Sequence[Finding]:
        """Say whether this backend can run here; changes nothing; every finding has a remedy."""

    def settled(self) -> Mapping[str, Scalar]:
        """Return the options that were left to this backend, as it has decided them here.

        They hold for the whole run: later objects of this backend get them, also in another process. By
        default there are none.

        Raises: EngineError.
        """
        return {}

    @abstractmethod
    def describe(self) -> Mapping[str, Scalar]:
        """Return versions and settings that decide numbers; empty where the engine cannot be reached."""

    @abstractmethod
    def prepare(self, guest: Guest) -> Preparation:
        """Do what is slow and untimed: pull, build, convert. Idempotent.

        A machine that exists already is only looked at; facts of it are ``existing_machine`` (its name),
        ``existing_id``, ``existing_cpus`` and ``existing_memory`` (bytes), each where it can be known.

        Raises: ImageError, EngineError, InputError (a guest that this backend cannot run: one with a
        ``cpuset``, where the backend cannot keep it there; a machine that is not there, or not in a state to
        be started, or observed with ``attach``).
        """

    def forget(self, guest: Guest) -> None:
        """Remove what this backend keeps of the guest's image; any number of times.

        What it was made from (the root file system in vmvc's cache) stays, and so does everything that is not
        vmvc's, unless it is an image by name that can be pulled again. Called only while no instance of the
        image is there.

        Raises: Unavailable where the image cannot be removed, or could not be had again.
        """
        raise Unavailable(f"the backend {self.kind} cannot remove an image")

    def pulls(self, guest: Guest) -> bool:
        """Say whether ``fetch`` gets the image from a registry."""
        return False

    def fetch(self, guest: Guest) -> None:
        """Pull or make what ``forget`` has removed, and nothing else: this is timed.

        Instances of the guest, which was prepared before, can be made afterwards; handles from before it
        are void.

        Raises: Unavailable, ImageError, EngineError.
        """
        raise Unavailable(f"the backend {self.kind} cannot make an image again")

    @abstractmethod
    def instance(self, tag: Tag, guest: Guest) -> Instance:
        """Return a handle; touches nothing yet."""

    @abstractmethod
    def leftovers(self) -> Sequence[Instance]:
        """Return what vmvc itself made and is still there, of any run, found by its tag."""

    def close(self) -> None:  # noqa: B027 - most backends hold nothing
        """Release connections; the object may be used again."""


# --- metrics ----------------------------------------------------------------------------------------------


class Observes(StrEnum):
    """When a metric is asked: over the ``events`` of a whole trial, in a ``ready`` instance, on a ``fleet``.

    A metric of a fleet gets a trial of its own, whose ready instance is the fleet's first member; it starts
    the others itself, by ``scene.fleet``.
    """

    EVENTS = "events"
    READY = "ready"
    FLEET = "fleet"


@dataclass(frozen=True, slots=True)
class Member:
    """A ready instance of a fleet: its number from 1, and its own ``requested`` ... ``ready``."""

    number: int
    instance: Instance
    events: Mapping[str, Event]


class Fleet(Protocol):
    """Instances of one backend and guest that are there at the same time; they are removed for the metric."""

    @property
    def members(self) -> Sequence[Member]:
        """Those that became ready, the trial's own first, by number."""

    def grow(self, count: int, enough: Callable[[], str] = lambda: "") -> None:
        """Start so many more at once, and return when each is ready.

        ``enough`` is called once a second: as soon as it gives a reason, those that are not ready are given
        up.

        Raises: TrialError where not all became ready: those that did stay, the others are gone by then.
        """


@dataclass(frozen=True, slots=True)
class Scene:
    """What a metric sees.

    ``events``: those so far (``ready`` metrics) or all (``events`` metrics). ``before``: what the metric's
    own ``before`` returned. ``timeout``: seconds that one observation may take.
    """

    events: Mapping[str, Event]
    guest: Guest
    instance: Instance
    clock: Clock
    before: Any = None
    timeout: float = 180.0
    notes: Mapping[str, str] = field(default_factory=dict)
    """Why an event is missing, by event name."""
    fleet: Fleet | None = None
    """Of metrics that observe a fleet."""
    ending: Ending | None = None
    """Of metrics that observe events, where the guest was asked to stop."""


Observation = Reading | Absent | Finding | Series
"""What a metric may give: a reading or an absence for each quantity, and what it found besides."""


class Metric(ABC):
    """Something to measure: declares its quantities and turns a scene into readings.

    An experiment may have several metrics of one class under names of its own (``cpu: {kind: workload}``), so
    no options model has a field ``kind``.
    """

    name: str
    """Of the class: its kind, which an experiment asks for. Of an object: its name in the experiment."""
    quantities: tuple[Quantity, ...]
    """Of the class: those of every object; empty where ``__init__`` sets them, by the options."""
    observes: ClassVar[Observes]
    loads_guest: ClassVar[bool] = False
    """True where measuring disturbs the guest: the metric then gets an instance of its own."""
    runs_inside: ClassVar[bool] = False
    """True where looking runs short commands in the guest: the metric is asked after those that do not."""
    options_model: ClassVar[type[Options]] = Options
    says: ClassVar[str]
    """One line for ``vmvc list metrics``."""
    needs: ClassVar[str] = "an instance"
    """What must be there for it to be had, in one line for ``vmvc list metrics``."""

    def __init__(self, options: Options, name: str = "") -> None:
        self.options = options
        if name:
            self.name = name

    @classmethod
    def presets(cls) -> Mapping[str, Metric]:
        """Return ready-made objects by the name that asks for them, for ``vmvc list metrics``."""
        return {}

    def check(self, guest: Guest) -> Sequence[Finding]:
        """Say, before the first trial, what this metric lacks in such a guest or on this host.

        Changes nothing; an error stops the run. Every finding has a remedy.
        """
        return ()

    def ports(self) -> tuple[int, ...]:
        """Return guest ports that this metric must reach from the host, besides those of readiness."""
        return ()

    def seconds(self) -> float:
        """Return how long one observation lasts by design (a settle time); for deadlines and estimates."""
        return 0.0

    def lives(self) -> int:
        """Return how many lives of an instance, one after the other, one observation takes; for estimates."""
        return 1

    def before(self) -> Any:
        """Look at the host just before the trial's first event, outside the timed part."""
        return None

    @abstractmethod
    def observe(self, scene: Scene) -> Iterable[Observation]:
        """Return one reading, or one absence with its reason, for each declared quantity; findings at will.

        Raises: TrialError where the observation itself failed; the trial is then a failed trial.
        """
