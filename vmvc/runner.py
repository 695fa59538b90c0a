"""A plan and its objects -> records in the journal: the loop of a run, in the parent process.

Knows neither YAML nor the registry. Trials run in the worker; here are the plan, the journal, signals and
deadlines, so that nothing which writes or draws disturbs the timed part.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Final, Protocol

from vmvc import host, owner
from vmvc.contract import Backend, Guest, Metric, Observes, Tag
from vmvc.errors import CleanupError, DeadlineExceeded, Interrupted, VmvcError
from vmvc.journal import Journal
from vmvc.plan import Condition, Plan, PlannedTrial
from vmvc.records import (
    AbsentRecord,
    EventRecord,
    Failure,
    FindingRecord,
    ReadingRecord,
    SeriesRecord,
    TrialRecord,
)
from vmvc.trial import DESTROY_TIMEOUT, Job, Outcome, pick
from vmvc.worker import Worker, WorkerDied

START_UP_TIMEOUT: Final = 60.0
"""Seconds that the worker may take before its first announcement."""

Bind = Callable[[Condition], tuple[Backend, Guest]]


class Watcher(Protocol):
    """Who is told what happens; the command line draws it."""

    def preparing(self, condition: Condition, done: int, total: int) -> None: ...
    def begun(self, trial: PlannedTrial) -> None: ...
    def step(self, name: str) -> None: ...
    def ended(self, record: TrialRecord) -> None: ...


class Signals:
    """Counts the requests to stop: the first ends the trial in good order, the second at once."""

    def __init__(self) -> None:
        self.count = 0

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self.count += 1

    @contextmanager
    def installed(self) -> Iterator[Signals]:
        """Listen to SIGINT, SIGTERM and SIGHUP; put back what was there."""
        wanted = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
        before = {number: signal.signal(number, self._note) for number in wanted}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@dataclass(frozen=True, slots=True)
class Campaign:
    """What to run and with which objects."""

    run: str
    plan: Plan
    bind: Bind
    metrics: tuple[Metric, ...]
    logs: Path | None = None


@dataclass(slots=True)
class Tally:
    """How many trials ended how, in this call."""

    measured: int = 0
    failed: int = 0


class Runner:
    """Runs a campaign in a worker and writes one record a trial."""

    def __init__(self, campaign: Campaign, worker: Worker, watcher: Watcher, signals: Signals) -> None:
        self._campaign = campaign
        self._worker = worker
        self._watcher = watcher
        self._signals = signals
        self._interrupted = 0
        self._owner = owner.current()
        self._units = {
            (metric.name, quantity.name): quantity.unit
            for metric in campaign.metrics
            for quantity in metric.quantities
        }

    def run(self, journal: Journal, done: Container[int] = ()) -> Tally:
        """Run every planned trial that is not ``done``.

        Raises: Interrupted, StorageError, CleanupError; what was appended before is kept.
        """
        tally = Tally()
        for trial in self._campaign.plan:
            if trial.number in done:
                continue
            if self._signals.count:
                raise self._stopped()
            record, cleanup = self._trial(trial)
            journal.append(record)
            if record.outcome == "measured":
                tally.measured += 1
            else:
                tally.failed += 1
            self._watcher.ended(record)
            if cleanup is not None:
                raise cleanup
        return tally

    def _trial(self, trial: PlannedTrial) -> tuple[TrialRecord, CleanupError | None]:
        campaign, settings = self._campaign, self._campaign.plan.settings
        backend, guest = campaign.bind(trial.condition)
        tag = Tag(campaign.run, trial.number, self._owner)
        log = campaign.logs / f"trial-{trial.number}.console" if campaign.logs is not None else None
        job = Job(
            tag,
            backend,
            guest,
            pick(campaign.metrics, trial.metrics),
            settings.timeout,
            settings.stop_timeout,
            log,
        )
        self._watcher.begun(trial)
        wall = datetime.now(UTC).isoformat(timespec="milliseconds")
        before = host.noise()
        try:
            outcome: Outcome = self._worker.call("trial", job, timeout=START_UP_TIMEOUT, tick=self._tick)
        except Interrupted:
            self._remove(backend, tag, guest)
            raise self._stopped() from None
        except (DeadlineExceeded, WorkerDied) as error:
            step = error.step if isinstance(error, WorkerDied) else self._worker.step.name
            outcome = Outcome(failure=(step, error))
            outcome.cleanup = self._remove(backend, tag, guest)
        if outcome.cleanup is not None:
            outcome.cleanup = self._remove(backend, tag, guest)
        if self._signals.count and outcome.failure is not None:
            raise self._stopped()
        noise = host.noise_between(before, host.noise())
        return self._record(trial, tag, wall, outcome, noise), outcome.cleanup

    def _tick(self) -> None:
        """Show the step; pass a request to stop on, once; end the worker at the second."""
        self._watcher.step(self._worker.step.name)
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

    def _stopped(self) -> Interrupted:
        return Interrupted("interrupted; what was measured is kept")

    def _record(
        self, trial: PlannedTrial, tag: Tag, wall: str, outcome: Outcome, noise: Mapping[str, float]
    ) -> TrialRecord:
        failure = None
        if outcome.failure is not None:
            phase, error = outcome.failure
            failure = Failure(phase=phase, error=type(error).__name__, reason=error.what, hint=error.hint)
        findings = [FindingRecord.of(finding) for finding in outcome.findings]
        if outcome.cleanup is not None:
            findings.append(
                FindingRecord(
                    code="cleanup.failed",
                    severity="error",
                    what=outcome.cleanup.what,
                    remedy=outcome.cleanup.hint,
                )
            )
        return TrialRecord(
            trial=trial.number,
            block=trial.block,
            position=trial.position,
            warmup=trial.warmup,
            backend=trial.condition.backend,
            condition=trial.condition.id,
            factors=trial.condition.factors,
            metrics=trial.metrics,
            instance=tag.name,
            wall=wall,
            outcome="measured" if failure is None else "failed",
            failure=failure,
            events={name: EventRecord.of(event) for name, event in outcome.events.items()},
            readings=tuple(
                ReadingRecord.of(metric, reading, self._units[metric, reading.quantity])
                for metric, reading in outcome.readings
            ),
            absent=tuple(AbsentRecord.of(metric, absent) for metric, absent in outcome.absent),
            findings=tuple(findings),
            series=tuple(SeriesRecord.of(metric, series) for metric, series in outcome.series),
            noise=noise,
        )
