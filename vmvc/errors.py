"""The error tree: what went wrong, where, and what to do about it.

::

    VmvcError                  exit 4 (a bug, unless a subclass says otherwise)
    ├── InputError             exit 2  a file or an argument is wrong; carries every fault at once
    ├── EngineError            exit 3  an engine is missing or unusable
    │   └── MissingSdk                 its Python package is not installed
    ├── ImageError             exit 3  an image could not be built or rendered
    ├── ResultsError           exit 2  a results folder cannot be read, written or resumed
    ├── StorageError           exit 3  the disk refused a write in the middle of a run
    ├── TrialError             (never an exit by itself: a failed trial is a record)
    │   ├── DeadlineExceeded           a step did not finish in time
    │   ├── GuestDied                  the instance ended before it was ready
    │   └── StepFailed                 the engine refused a step
    ├── CleanupError           exit 3  something vmvc made could not be removed
    ├── Unavailable            (never an exit: a value that cannot be had here, with the reason)
    └── Interrupted            exit 130  the user stopped the run; it can be resumed
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the ``vmvc`` command; the README lists them."""

    MEASURED = 0
    TRIALS_FAILED = 1
    CLAIM_REFUTED = 1
    WORSE = 1
    BAD_INPUT = 2
    ENGINE = 3
    BUG = 4
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with an input.

    ``line`` and ``column`` count from 1; both are ``None`` where the fault has no position (an argument,
    a whole file).
    """

    what: str
    source: str = ""
    line: int | None = None
    column: int | None = None
    hint: str = ""

    @property
    def where(self) -> str:
        parts = [self.source] if self.source else []
        parts += [str(number) for number in (self.line, self.column) if number is not None]
        return ":".join(parts)

    def __str__(self) -> str:
        first = f"{self.where}: {self.what}" if self.where else self.what
        return f"{first}\n  hint: {self.hint}" if self.hint else first


class VmvcError(Exception):
    """Something that vmvc can explain: ``what`` happened and a ``hint`` with one action."""

    exit_code: ExitCode = ExitCode.BUG

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what}\n  hint: {self.hint}" if self.hint else self.what

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), dict(self.__dict__)))


def _rebuild(cls: type[VmvcError], state: dict[str, object]) -> VmvcError:
    """Unpickle an error in the parent process exactly as the child raised it."""
    error = cls.__new__(cls)
    Exception.__init__(error, state["what"])
    error.__dict__.update(state)
    return error


class InputError(VmvcError):
    """The input is wrong; ``faults`` holds every fault that could be seen at once, in file order."""

    exit_code = ExitCode.BAD_INPUT

    def __init__(self, faults: Iterable[Fault] | Fault) -> None:
        self.faults: Sequence[Fault] = (faults,) if isinstance(faults, Fault) else tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class EngineError(VmvcError):
    """An engine is missing, not running, or refuses to work for this user."""

    exit_code = ExitCode.ENGINE


class MissingSdk(EngineError):
    """A backend's or metric's Python package is not installed; the hint is the command that installs it."""


class ImageError(VmvcError):
    """An image could not be found, built or rendered for a backend."""

    exit_code = ExitCode.ENGINE


class ResultsError(VmvcError):
    """A results folder cannot be read, written or resumed."""

    exit_code = ExitCode.BAD_INPUT


class StorageError(VmvcError):
    """The file system refused a write during a run; what was journalled before is kept."""

    exit_code = ExitCode.ENGINE


class TrialError(VmvcError):
    """A trial failed; it becomes a record with its phase and reason, and the run goes on."""


class DeadlineExceeded(TrialError):
    """A step did not finish before its deadline; outside of a trial, an engine does not answer."""

    exit_code = ExitCode.ENGINE


class GuestDied(TrialError):
    """The instance ended before it was ready."""


class StepFailed(TrialError):
    """The engine refused a step of a trial."""


class CleanupError(VmvcError):
    """Something that vmvc made could not be removed; later numbers would be spoiled."""

    exit_code = ExitCode.ENGINE


class Interrupted(VmvcError):
    """The user stopped the run; it can be resumed."""

    exit_code = ExitCode.INTERRUPTED


class Unavailable(VmvcError):
    """This host or engine cannot show a value; it becomes an absent reading with this reason, never 0."""
