"""A plan and its objects -> records in the journal: the loop of a run, in the parent process.

Knows neither YAML nor the registry. Trials run in the worker; here are the plan, the journal, signals and
deadlines, so that nothing which writes or draws disturbs the timed part.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol

from vmvc import host, owner
from vmvc.contract import Backend, Clock, Finding, Guest, Metric, MonotonicClock, Observes, Severity, Tag
from vmvc.errors import CleanupError, DeadlineExceeded, Interrupted, VmvcError
from vmvc.job import Job, Outcome, pick
from vmvc.journal import Journal
from vmvc.plan import Condition, Plan, PlannedTrial
from vmvc.records_journal import StopRecord, TrialRecord
from vmvc.signals import Signals
from vmvc.stopping import Stopping
from vmvc.trial import DESTROY_TIMEOUT
from vmvc.trial_record import record_of
from vmvc.worker import Worker, WorkerDied

START_UP_TIMEOUT: Final = 60.0
"""Seconds that the worker may take before its first announcement."""
PAUSE_LOOK: Final = 0.1
"""Seconds between two looks, in a pause, at whether somebody asks to stop."""
AWAY: Final = 30.0
"""Seconds that an engine may be away, while it restarts, before what it holds counts as left behind."""
AWAY_LOOK: Final = 10.0
"""Seconds within which it must answer then."""
NONE_TRIED: Final[Mapping[int, int]] = MappingProxyType({})
Bind = Callable[[Condition], tuple[Backend, Guest]]


class Watcher(Protocol):
    """Who is told what happens; the command line draws it."""

    def preparing(self, condition: Condition, done: int, total: int) -> None: ...
    def begun(self, trial: PlannedTrial) -> None: ...
    def step(self, name: str) -> None: ...
    def ended(self, record: TrialRecord) -> None: ...
    def decided(self, stop: StopRecord) -> None: ...
    def expecting(self, backend: str, condition: str, trials: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Campaign:
    """What to run and with which objects."""

    run: str
    plan: Plan
    bind: Bind
    metrics: tuple[Metric, ...]
    logs: Path | None = None
    disturbed: Callable[[], Sequence[Finding]] = tuple
    """What somebody else has changed on the host since it was tuned; asked after every trial."""


@dataclass(slots=True)
class Tally:
    """How many trials ended how, in this call; ``stopped`` is the failed one that ended the run."""

    measured: int = 0
    failed: int = 0
    stopped: TrialRecord | None = None


class Runner:
    """Runs a campaign in a worker and writes one record for each attempt at a trial."""

    def __init__(
        self,
        campaign: Campaign,
        worker: Worker,
        watcher: Watcher,
        signals: Signals,
        clock: Clock | None = None,
    ) -> None:
        self._campaign = campaign
        self._worker = worker
        self._watcher = watcher
        self._signals = signals
        self._clock = clock or MonotonicClock()
        self._interrupted = 0
        self._mixed = campaign.plan.mixed
        self._owner = owner.current()
        self._threads = os.cpu_count() or 1
        self._last: host.Noise | None = None
        self._units = {
            (metric.name, quantity.name): quantity.unit
            for metric in campaign.metrics
            for quantity in metric.quantities
        }

    def run(
        self,
        journal: Journal,
        done: Container[int] = (),
        tried: Mapping[int, int] = NONE_TRIED,
        stopping: Stopping | None = None,
    ) -> Tally:
        """Run every planned trial that is not ``done``; ``tried``: attempts so far, by trial.

        ``stopping`` knows the trials that are done, and passes over those that its rule makes needless.

        Raises: Interrupted, StorageError, CleanupError; what was appended before is kept.
        """
        tally = Tally()
        with host.KernelLog() as self._kernel:
            for trial in self._campaign.plan:
                over = stopping is not None and stopping.over(trial.condition.id)
                if trial.number in done or over:
                    continue
                record = self._attempts(trial, journal, tried.get(trial.number, 0))
                if stopping is not None:
                    self._decide(stopping, record, journal)
                if record.measured:
                    tally.measured += 1
                    continue
                tally.failed += 1
                if self._campaign.plan.settings.on_failure == "stop" and not trial.warmup:
                    tally.stopped = record
                    break
        return tally

    def _decide(self, stopping: Stopping, record: TrialRecord, journal: Journal) -> None:
        stop = stopping.add(record)
        if stop is not None:
            journal.append(stop)
            self._watcher.decided(stop)
        else:
            self._watcher.expecting(record.backend, record.condition, stopping.expected(record.condition))

    def _attempts(self, trial: PlannedTrial, journal: Journal, before: int) -> TrialRecord:
        """Try a trial until it is measured or no retry is left; return the record of the last attempt."""
        attempt = before
        while True:
            attempt += 1
            self._watcher.begun(trial)
            self._idle(self._campaign.plan.settings.pause)
            record, cleanup = self._trial(trial, attempt)
            journal.append(record)
            self._watcher.ended(record)
            if cleanup is not None:
                raise cleanup
            if record.measured or attempt > self._campaign.plan.settings.retries:
                return record

    def _idle(self, seconds: float) -> None:
        """Do nothing for so long, or until somebody asks to stop.

        Raises: Interrupted.
        """
        end = self._clock.now() + round(seconds * 1e9)
        while not self._signals.count and (left := (end - self._clock.now()) / 1e9) > 0:
            self._watcher.step("pause")
            self._signals.answer()
            self._clock.sleep(min(left, PAUSE_LOOK))
        if self._signals.count:
            raise self._stopped()

    def _trial(self, trial: PlannedTrial, attempt: int) -> tuple[TrialRecord, CleanupError | None]:
        campaign, settings = self._campaign, self._campaign.plan.settings
        backend, guest = campaign.bind(trial.condition)
        tag = Tag(campaign.run, trial.number, self._owner)
        called = f"trial-{trial.number}" + (f"-{attempt}" if attempt > 1 else "")
        log = campaign.logs / f"{called}.console" if campaign.logs is not None else None
        job = Job(
            tag,
            backend,
            guest,
            pick(campaign.metrics, trial.metrics),
            settings.timeout,
            settings.stop_timeout,
            log,
            cold=campaign.plan.cold(trial.condition),
            absent=campaign.plan.absent(trial.condition),
            rehearsed=self._mixed and not campaign.plan.cold(trial.condition),
        )
        wall = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._kernel.new()
        before = host.noise()
        try:
            outcome: Outcome = self._worker.call("trial", job, timeout=START_UP_TIMEOUT, tick=self._tick)
        except Interrupted:
            self._remove(backend, tag, guest)
            raise self._stopped() from None
        except (DeadlineExceeded, WorkerDied) as error:
            step = error.step if isinstance(error, WorkerDied) else self._worker.step.name
            delivered = self._worker.delivered
            outcome = delivered if delivered is not None else Outcome(failure=(step, error))
            outcome.cleanup = CleanupError(error.what) if delivered else self._remove(backend, tag, guest)
        if (trouble := outcome.cleanup) is not None:
            outcome.cleanup = self._remove(backend, tag, guest)
            if outcome.cleanup is not None and self._answers(backend):
                outcome.cleanup = self._remove(backend, tag, guest)
            if outcome.cleanup is None:
                outcome.findings.append(_removed_later(trouble))
        if self._signals.count and outcome.failure is not None:
            raise self._stopped()
        if self._last is not None:
            outcome.findings += host.woken(self._last, before)
        self._last = host.noise()
        noise = host.noise_between(before, self._last)
        room = len(guest.cpuset) if guest.cpuset is not None else self._threads
        outcome.findings += host.noise_findings(
            noise, threads=self._threads, cpus=guest.cpus or self._threads, room=room
        )
        lines = self._kernel.new()
        if lines is not None:
            noise["kernel_warnings"] = float(lines.grave)
            outcome.findings += lines.findings()
            _blame_memory(outcome, lines.killed)
        outcome.findings += campaign.disturbed()
        return record_of(trial, attempt, tag, wall, outcome, noise, self._units), outcome.cleanup

    def _tick(self) -> None:
        """Show the step; pass a request to stop on, once; end the worker at the second."""
        self._watcher.step(self._worker.step.name)
        self._signals.answer()
        if self._signals.count > self._interrupted:
            self._interrupted = self._signals.count
            if self._interrupted > 1:
                self._worker.kill()
                raise Interrupted("interrupted twice")
            self._worker.interrupt()

    def _remove(self, backend: Backend, tag: Tag, guest: Guest) -> CleanupError | None:
        """Destroy by name, from whatever worker there is; return what could not be removed."""
        fleets = any(metric.observes is Observes.FLEET for metric in self._campaign.metrics)
        try:
            self._worker.call(
                "disband" if fleets else "destroy", backend, tag, guest, timeout=DESTROY_TIMEOUT
            )
        except CleanupError as error:
            return error
        except VmvcError as error:
            failure = CleanupError(
                f"{tag.name} could not be removed: {error.what}", hint="when its engine answers: vmvc clean"
            )
            failure.__cause__ = error
            return failure
        return None

    def _answers(self, backend: Backend) -> bool:
        """Wait for an engine that is away, since a restart takes a while; say whether it is there."""
        end = self._clock.now() + round(AWAY * 1e9)
        while not self._signals.count:
            try:
                found: Sequence[Finding] = self._worker.call("check", backend, timeout=AWAY_LOOK)
                if not any(one.severity is Severity.ERROR for one in found):
                    return True
            except VmvcError:
                pass  # It hangs.
            if self._clock.now() >= end:
                return False
            self._watcher.step("waiting for the engine")
            self._signals.answer()
            self._clock.sleep(1.0)
        return False

    def _stopped(self) -> Interrupted:
        return Interrupted("interrupted; what was measured is kept")


def _blame_memory(outcome: Outcome, killed: Sequence[int]) -> None:
    """Say of a worker that the kernel killed for memory that it was so."""
    if outcome.failure is None:
        return
    step, error = outcome.failure
    if isinstance(error, WorkerDied) and error.pid in killed:
        what = f"{error.what}: the kernel killed it, out of memory"
        hint = "let the host have more memory free, or lower guest.memory"
        outcome.failure = (step, WorkerDied(what, step=error.step, pid=error.pid, hint=hint))


def _removed_later(trouble: CleanupError) -> Finding:
    return Finding(
        "cleanup.retried",
        Severity.WARNING,
        f"the instance was gone only after a second attempt to remove it: {trouble.what}",
        "see whether the engine keeps up: vmvc doctor",
    )
