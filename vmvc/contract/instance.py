"""One running container, machine or process: its contract, and the data that it gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final, Literal, Protocol

from vmvc.contract.event import Marks
from vmvc.contract.guest import Guest
from vmvc.contract.tag import Tag
from vmvc.errors import Unavailable

MOST_OUTPUT: Final = 16 * 2**20
"""Most bytes that a command in an instance may print to either stream; one that prints more is ended."""
NO_LIMIT: Final = "this backend sets no limit"
"""Why a backend that promises nothing has no limits."""


class ByteStream(Protocol):
    """What a guest prints, as it arrives."""

    def read(self, timeout: float) -> bytes | None:
        """Return what arrived, ``b""`` at the end, ``None`` where nothing came within ``timeout`` seconds."""

    def close(self) -> None:
        """Release the stream; may be called twice, and from another thread than ``read``."""


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
        """Say in a few words why a guest does not run: how it ended, or what halts one that is alive.

        "" where it runs, or the platform does not tell; within a few seconds, as it is asked at deadlines.
        """
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
