"""What a trial gave -> its line in the journal."""

from __future__ import annotations

from collections.abc import Mapping

from vmvc.contract import Tag
from vmvc.job import Outcome
from vmvc.plan import PlannedTrial
from vmvc.records import FindingRecord
from vmvc.records_journal import (
    UNCLEAN,
    AbsentRecord,
    EventRecord,
    Failure,
    ReadingRecord,
    SeriesRecord,
    TrialRecord,
)


def record_of(
    trial: PlannedTrial,
    attempt: int,
    tag: Tag,
    wall: str,
    outcome: Outcome,
    noise: Mapping[str, float],
    units: Mapping[tuple[str, str], str],
) -> TrialRecord:
    """Return the record of one attempt; ``units``: metric and quantity -> unit."""
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
        attempt=attempt,
        block=trial.block,
        position=trial.position,
        warmup=trial.warmup,
        backend=trial.condition.backend,
        condition=trial.condition.id,
        factors=trial.condition.factors,
        metrics=trial.metrics,
        instance=tag.name,
        wall=wall,
        outcome="failed" if failure else UNCLEAN if outcome.cleanup else "measured",
        failure=failure,
        events={name: EventRecord.of(event) for name, event in outcome.events.items()},
        readings=tuple(
            ReadingRecord.of(metric, reading, units[metric, reading.quantity])
            for metric, reading in outcome.readings
        ),
        absent=tuple(AbsentRecord.of(metric, absent) for metric, absent in outcome.absent),
        findings=tuple(findings),
        series=tuple(SeriesRecord.of(metric, series) for metric, series in outcome.series),
        noise=noise,
        proof=outcome.proof,
    )
