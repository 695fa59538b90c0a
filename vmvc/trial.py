"""One planned life of one instance -> events, readings and what went wrong.

create, start, ready, observe, stop, destroy: ``destroy`` always runs. The clock is read right beside the
calls and nowhere else, in the same places for every backend.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any, Final

from vmvc import fleet, pagecache, probes
from vmvc.contract import (
    EVENTS,
    Absent,
    Clock,
    Ending,
    Event,
    Finding,
    Instance,
    Member,
    Metric,
    Observes,
    Reading,
    Scene,
    Series,
    Severity,
)
from vmvc.errors import CleanupError, DeadlineExceeded, Interrupted, Unavailable, VmvcError
from vmvc.job import Announce, Job, Outcome
from vmvc.milestones import Milestones
from vmvc.units import show_seconds

DESTROY_TIMEOUT: Final = 60.0
"""Seconds that a destroy may take before the worker is ended and another one tries."""
FETCH_TIMEOUT: Final = 3600.0
"""Seconds to pull or make an image, as for its preparation before the first trial."""
IMAGE_THERE: Final = "the image was there already (trials.image: present)"
"""Why a trial has no instants of its image."""
MADE_HERE: Final = "the image was made on this host and not pulled"
"""Why a trial whose image was absent has no time of a pull."""
UNREAD: Final = 0.01
"""Seconds in which the reader takes up what a guest has printed; a line may follow the probe's answer."""
OF_A_LIFE: Final = tuple(event for event in EVENTS if event not in ("console", "ready"))
"""Events that a machine has not which is only observed."""
ATTACHED: Final = "the machine ran already and was only observed (guest.attach: true)"
"""Why it has not."""
NO_FLEET: Final = "a machine that exists already is there once: a fleet would need copies of it"
COOL_TIMEOUT: Final = 600.0
"""Seconds to write what is dirty to the disk and drop the page cache."""


def _kept(outcome: Outcome) -> None:
    """Tell nobody."""


class Trial:
    """Runs one job; ``announce`` tells the parent which step comes and how long it may take.

    ``deliver`` gets the outcome as soon as all is measured, so that no destroy can take it along.
    """

    def __init__(
        self, job: Job, announce: Announce, clock: Clock, deliver: Callable[[Outcome], None] = _kept
    ) -> None:
        self._job = job
        self._announce = announce
        self._clock = clock
        self._deliver = deliver
        self._outcome = Outcome()
        self._notes: dict[str, str] = {}
        self._before: dict[str, Any] = {}
        self._ending: Ending | None = None
        self._step = ""

    def run(self) -> Outcome:
        """Run the trial.

        Raises: Interrupted (after the instance is gone), and whatever a faulty plug-in raises.
        """
        outcome = self._outcome
        with self._failing():
            self._settle()
            read = self._fetch()
            instance = self._job.backend.instance(self._job.tag, self._job.guest)
            try:
                with self._failing():
                    self._live(instance, read)
                    self._observe(Observes.EVENTS, instance)
                self._deliver(outcome)
            finally:
                self._destroy(instance)
        return outcome

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Let an error of the block be the trial's failure, which leaves it no values."""
        outcome = self._outcome
        try:
            yield
        except Interrupted:
            raise
        except VmvcError as error:
            outcome.failure = (self._step, error)
            outcome.readings.clear()
            outcome.absent.clear()
            outcome.series.clear()

    def _settle(self) -> None:
        """Bring the page cache into the state that the trial is to begin with."""
        job, outcome = self._job, self._outcome
        if job.rehearsed:
            rehearsal = replace(job, metrics=(), console_log=None, rehearsed=False, absent=False)
            before = Trial(rehearsal, self._announce, self._clock).run()
            outcome.cleanup = before.cleanup
            if before.failure is not None:
                self._step, error = before.failure
                raise error
            if before.cleanup is not None:
                raise before.cleanup
        if job.absent:
            self._enter("forget", job.timeout)
            job.backend.forget(job.guest)
        if job.cold:
            self._enter("cool", COOL_TIMEOUT)
            pagecache.drop()

    def _prove(self, before: int | None) -> None:
        """Note what was read from disk since; a cold start that read nothing was none."""
        after = pagecache.read_bytes()
        if before is not None and after is not None:
            self._outcome.proof["disk_read_bytes"] = float(after - before)
        if self._job.cold and not self._outcome.proof.get("disk_read_bytes"):
            self._outcome.findings.append(
                Finding(
                    "cache.not-cold",
                    Severity.WARNING,
                    "nothing was read from disk between request and readiness, so the start was not cold",
                    "see whether the image lies on a disk: a tmpfs or a memory disk cannot be cold",
                )
            )

    def _fetch(self) -> int | None:
        """Have an image that was removed again, and time it; return what the disk had been read before."""
        job, now = self._job, self._clock.now
        read = pagecache.read_bytes()
        if job.absent:
            self._enter("fetch", FETCH_TIMEOUT)
            self._record("image_requested", now())
            job.backend.fetch(job.guest)
            self._record("image_ready", now())
            if not job.backend.pulls(job.guest):
                self._notes["pull"] = MADE_HERE
        else:
            self._notes["image_requested"] = IMAGE_THERE
        return read

    def _live(self, instance: Instance, read: int | None) -> None:
        job, now = self._job, self._clock.now
        self._before = {metric.name: metric.before() for metric in job.metrics}
        milestones = Milestones(instance, self._clock)
        self._notes.update(milestones.absent())
        if not job.absent:
            read = pagecache.read_bytes()
        if job.guest.attach:
            self._attach(instance)
        else:
            self._begin(instance)

        with self._console(instance) as tap:
            self._enter("ready", job.timeout)
            deadline = now() + round(job.timeout * 1e9)
            milestones.listen(tap)
            try:
                self._outcome.events["ready"] = probes.wait(
                    job.guest.ready, instance, tap, self._clock, deadline
                )
            finally:
                self._note(tap, milestones)
            self._prove(read)
            self._observe(Observes.READY, instance)
            self._observe_fleet(instance)
            if tap is not None:
                tap.begun(UNREAD)
            self._note(tap, milestones)
            self._stop(instance, tap, milestones)

    def _begin(self, instance: Instance) -> None:
        job, now = self._job, self._clock.now
        self._enter("create", job.timeout)
        self._record("requested", now())
        instance.create()
        self._record("created", now())
        self._in_time(self._outcome.events["requested"].at, "created")

        self._enter("start", job.timeout)
        begun = now()
        instance.start()
        self._record("started", now())
        self._in_time(begun, "started")

    def _attach(self, instance: Instance) -> None:
        """Find a machine that runs already: it has no beginning here, and will have no end."""
        self._notes.update(dict.fromkeys(OF_A_LIFE, ATTACHED))
        self._enter("create", self._job.timeout)
        instance.create()
        self._enter("start", self._job.timeout)
        instance.start()

    def _in_time(self, since: int, event: str) -> None:
        """Let a step that returned too late fail as one that never returned, whatever the engine says.

        Raises: DeadlineExceeded.
        """
        took = (self._outcome.events[event].at - since) / 1e9
        if took > self._job.timeout:
            raise DeadlineExceeded(
                f"{self._step} returned after {show_seconds(took)}; "
                f"each step may take {show_seconds(self._job.timeout)}",
                hint="see what holds the engine up, or give it more time (trials.timeout)",
            )

    def _note(self, tap: probes.ConsoleTap | None, milestones: Milestones) -> None:
        """Take up what the guest and its platform have told so far."""
        if tap is not None and tap.first is not None:
            self._outcome.events["console"] = tap.first
        self._outcome.events.update(milestones.events())

    @contextmanager
    def _console(self, instance: Instance) -> Iterator[probes.ConsoleTap | None]:
        try:
            stream = instance.console()
        except Unavailable as reason:
            self._notes["console"] = reason.what
            yield None
            return
        with closing(probes.ConsoleTap(stream, self._clock, sink=self._job.console_log)) as tap:
            self._notes["console"] = "the guest printed nothing"
            yield tap

    def _observe_fleet(self, instance: Instance) -> None:
        """Let the metrics of a fleet start further instances; all these are gone afterwards."""
        job, outcome = self._job, self._outcome
        for metric in job.metrics:
            if metric.observes is not Observes.FLEET:
                continue
            if job.guest.machine is not None:
                missing = (Absent(quantity.name, NO_FLEET) for quantity in metric.quantities)
                outcome.absent += [(metric.name, one) for one in missing]
                continue
            own = Member(1, instance, dict(outcome.events))
            step = ("observe", job.timeout + metric.seconds())
            made = fleet.TrialFleet(
                own, job.backend, job.guest, job.timeout, self._clock, self._announce, step, DESTROY_TIMEOUT
            )
            try:
                with made:
                    self._ask(metric, instance, made)
            finally:
                outcome.cleanup = made.cleanup

    def _observe(self, when: Observes, instance: Instance) -> None:
        """Ask the metrics of that moment; the first that fails makes the trial a failed one."""
        for metric in sorted(self._job.metrics, key=lambda metric: metric.runs_inside):
            if metric.observes is when:
                self._ask(metric, instance)

    def _ask(self, metric: Metric, instance: Instance, made: fleet.TrialFleet | None = None) -> None:
        job, outcome = self._job, self._outcome
        self._enter("observe", job.timeout + metric.seconds())
        scene = Scene(
            events=dict(outcome.events),
            guest=job.guest,
            instance=instance,
            clock=self._clock,
            before=self._before[metric.name],
            timeout=job.timeout,
            notes=self._notes,
            fleet=made,
            ending=self._ending,
        )
        for value in metric.observe(scene):
            match value:
                case Reading():
                    outcome.readings.append((metric.name, value))
                case Absent():
                    outcome.absent.append((metric.name, value))
                case Series():
                    outcome.series.append((metric.name, value))
                case _:
                    outcome.findings.append(value)

    def _stop(self, instance: Instance, tap: probes.ConsoleTap | None, milestones: Milestones) -> None:
        """Ask the guest to end; one that does not is a finding, since destroy ends it by force."""
        if self._job.guest.attach:
            return
        self._enter("stop", self._job.stop_timeout)
        milestones.listen_for_the_end(tap)
        self._record("stop_requested", self._clock.now())
        try:
            instance.stop(timeout=self._job.stop_timeout)
        except DeadlineExceeded as error:
            self._ending = Ending(orderly=False, reason=error.what)
            self._notes["gone"] = self._notes["stopped"] = error.what
            self._outcome.findings.append(
                Finding(
                    "stop.forced",
                    Severity.WARNING,
                    f"the guest did not end of itself: {error.what}",
                    "give it a command that heeds the stop signal, or raise trials.stop_timeout",
                )
            )
        except Unavailable as reason:
            self._ending = Ending(orderly=False, reason=reason.what)
            self._notes["gone"] = self._notes["stopped"] = reason.what
        else:
            self._record("gone", self._clock.now())
            try:
                self._ending = Ending(orderly=True, code=milestones.exit_code(tap))
            except Unavailable as unknown:
                self._ending = Ending(orderly=True, reason=unknown.what)
        self._note(tap, milestones)

    def _destroy(self, instance: Instance) -> None:
        self._announce("destroy", DESTROY_TIMEOUT)
        try:
            instance.destroy()
        except CleanupError as error:
            self._outcome.cleanup = error
        except Interrupted:
            raise
        except VmvcError as error:
            self._outcome.cleanup = CleanupError(error.what, hint=error.hint)

    def _enter(self, step: str, timeout: float) -> None:
        self._step = step
        self._announce(step, timeout)

    def _record(self, event: str, at: int) -> None:
        self._outcome.events[event] = Event(at)
