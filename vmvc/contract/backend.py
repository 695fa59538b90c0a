"""A way to run and isolate a guest: its contract, and the data that it gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from vmvc.contract.finding import Finding
from vmvc.contract.guest import Guest
from vmvc.contract.instance import Instance
from vmvc.contract.options import Options
from vmvc.contract.tag import Tag
from vmvc.errors import Unavailable

Scalar = str | int | float | bool
"""A fact: what ``describe`` and ``prepare`` record."""


class Isolation(StrEnum):
    """What stands between the guest and the host."""

    NONE = "none"
    CONTAINER = "container"
    VM = "vm"


@dataclass(frozen=True, slots=True)
class Preparation:
    """What ``prepare`` found and made: facts for ``run.json`` (digests, command line or XML) and findings."""

    facts: Mapping[str, Scalar] = field(default_factory=dict)
    findings: Sequence[Finding] = ()


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
