"""A trial's ready instance -> a fleet: more instances of the same guest, started together, gone at the end.

Each member lives through the steps of a trial, create, start and ready, in a thread of its own; the clock is
read in the same places, right beside the calls. Threads of one interpreter take turns, so that with many at
once an instant may come late. What that does to a polled instant is in its resolution, which counts the gaps
as they really were; ``created`` and ``started`` carry no such proof.

The main thread alone speaks to the parent: of all steps under way it announces the one whose deadline comes
first. A call that blocks beyond it ends the process, as in any trial.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Final

from vmvc import probes
from vmvc.contract import Backend, Clock, Event, Guest, Instance, Member, Tag
from vmvc.errors import CleanupError, StepFailed, Unavailable, VmvcError
from vmvc.job import Announce

SECOND: Final = 10**9
LOOK: Final = 1
"""Seconds between two questions whether it is enough."""


@dataclass(slots=True)
class _Launch:
    """A member on its way."""

    number: int
    instance: Instance
    step: str = "create"
    deadline: int = 0
    events: dict[str, Event] = field(default_factory=dict)
    gone: bool = False
    making: threading.Lock = field(default_factory=threading.Lock)
    """Held while a thread may make something of it."""
    over: bool = False
    """Nothing may be made of it any more."""


class TrialFleet:
    """The fleet of one trial; leaving its context removes all but the trial's own instance, in reverse.

    ``step``: name and seconds of what the trial is at between two launches. ``cleanup``: the first removal
    that failed; the others were tried all the same.
    """

    def __init__(
        self,
        own: Member,
        backend: Backend,
        guest: Guest,
        timeout: float,
        clock: Clock,
        announce: Announce,
        step: tuple[str, float],
        destroy_timeout: float,
    ) -> None:
        self.cleanup: CleanupError | None = None
        self._members = [own]
        self._backend = backend
        self._guest = guest
        self._timeout = timeout
        self._clock = clock
        self._ending = _EndingClock(clock)
        self._announce = announce
        self._step = step
        self._destroy_timeout = destroy_timeout
        self._last = own.number
        self._news: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._removals = ExitStack()

    def __enter__(self) -> TrialFleet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._removals.close()

    @property
    def members(self) -> Sequence[Member]:
        return tuple(self._members)

    def grow(self, count: int, enough: Callable[[], str] = lambda: "") -> None:
        """Start so many more at once: see ``vmvc.contract.Fleet``.

        Raises: TrialError, CleanupError (one that failed could not be removed), and whatever a faulty plug-in
        raises.
        """
        launches = [self._new() for _ in range(count)]
        with ThreadPoolExecutor(count, "vmvc-member") as threads:
            try:
                under_way = {threads.submit(self._launch, one): one for one in launches}
                self._watch(under_way, enough)
            except BaseException:
                # Before anything is removed, all that may still make something comes to its end.
                self._ending.end("the trial is over")
                raise
        failures = {one.number: error for future, one in under_way.items() if (error := future.exception())}
        for one in launches:
            if one.number not in failures:
                self._members.append(Member(one.number, one.instance, dict(one.events)))
        for one in reversed(launches):
            if one.number in failures:
                self._remove(one)
        self._announce(*self._step)
        if self.cleanup is not None:
            raise self.cleanup
        for one in launches:
            if one.number in failures:
                raise _blamed(one, failures[one.number])

    def _new(self) -> _Launch:
        """Give the next number to a handle, which is removed at the end, whatever becomes of it."""
        self._last += 1
        own = self._members[0].instance.tag
        instance = self._backend.instance(replace(own, member=self._last), self._guest)
        one = _Launch(self._last, instance, deadline=self._due())
        self._removals.callback(self._remove, one)
        return one

    def _watch(self, under_way: dict[Future[None], _Launch], enough: Callable[[], str]) -> None:
        """Announce the most urgent step until all have ended; give up on what is under way when told so.

        A step is announced once: said again and again, its deadline would never come.
        """
        for future in under_way:
            future.add_done_callback(lambda _: self._news.put(None))
        look = self._clock.now() + LOOK * SECOND
        announced: tuple[int, str] | None = None
        while waiting := [one for future, one in under_way.items() if not future.done()]:
            urgent = min(waiting, key=lambda one: one.deadline)
            step, deadline = urgent.step, urgent.deadline
            if announced != (urgent.number, step):
                announced = (urgent.number, step)
                self._announce(step, (deadline - self._clock.now()) / SECOND)
            with suppress(queue.Empty):
                self._news.get(timeout=LOOK)
            if self._clock.now() >= look:
                look = self._clock.now() + LOOK * SECOND
                if reason := enough():
                    self._ending.end(reason)
        self._ending.go_on()

    # --- in a member's thread -----------------------------------------------------------------------------

    def _launch(self, one: _Launch) -> None:
        """Have it live, unless it is over: a thread may begin late, see ``_remove``."""
        with one.making:
            if not one.over:
                self._live(one)

    def _live(self, one: _Launch) -> None:
        now = self._ending.now
        self._enter(one, "create")
        one.events["requested"] = Event(now())
        one.instance.create()
        one.events["created"] = Event(now())

        self._enter(one, "start")
        one.instance.start()
        one.events["started"] = Event(now())

        with self._console(one.instance) as tap:
            self._enter(one, "ready")
            one.events["ready"] = probes.wait(
                self._guest.ready, one.instance, tap, self._ending, one.deadline
            )

    @contextmanager
    def _console(self, instance: Instance) -> Iterator[probes.ConsoleTap | None]:
        """Read the console until the member is ready; a reader for each would weigh on what is measured."""
        try:
            stream = instance.console()
        except Unavailable:
            yield None
            return
        with closing(probes.ConsoleTap(stream, self._clock)) as tap:
            yield tap

    def _enter(self, one: _Launch, step: str) -> None:
        one.step, one.deadline = step, self._due()
        self._news.put(None)

    def _due(self) -> int:
        return self._clock.now() + round(self._timeout * SECOND)

    # --- the end ------------------------------------------------------------------------------------------

    def _remove(self, one: _Launch) -> None:
        if one.gone:
            return
        self._announce("destroy", self._destroy_timeout)
        # A thread whose start an interrupt met is not known to the executor, which has not waited for it.
        with one.making:
            one.over = True
        try:
            one.instance.destroy()
        except CleanupError as error:
            self.cleanup = self.cleanup or error
        else:
            one.gone = True


class _EndingClock:
    """A clock that lets whoever reads it give up: the reader is told why."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._reason = ""

    def end(self, reason: str) -> None:
        self._reason = reason

    def go_on(self) -> None:
        self._reason = ""

    def now(self) -> int:
        """Return now.

        Raises: StepFailed at the end.
        """
        if self._reason:
            raise StepFailed(f"given up: {self._reason}", hint="ask for fewer instances")
        return self._clock.now()

    def sleep(self, seconds: float) -> None:
        self._clock.sleep(seconds)


def _blamed(one: _Launch, error: BaseException) -> BaseException:
    """Say which member failed in which step; what is no error of vmvc's goes up as it is."""
    if not isinstance(error, VmvcError):
        return error
    failed = StepFailed(f"instance {one.number} failed in {one.step}: {error.what}", hint=error.hint)
    failed.__cause__ = error
    return failed


def others(found: Sequence[Instance], own: Tag) -> list[Instance]:
    """Return the members of a trial's fleet among what an engine shows, in reverse order of their birth."""
    mine = [one for one in found if one.tag.same_trial(own) and one.tag != own]
    return sorted(mine, key=lambda one: one.tag.member, reverse=True)
