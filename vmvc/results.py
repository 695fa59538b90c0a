"""journal.jsonl -> measurements.csv, summary.json and .csv, claims.json; the same journal, the same bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from pydantic_core import PydanticCustomError

from vmvc import checksums, durable, journal, seal
from vmvc.attempts import stops_of, trials_of
from vmvc.cells import cells_of
from vmvc.comparisons import beaten_hosts, comparisons, trends
from vmvc.conditions import conditions_of
from vmvc.errors import ResultsError, StorageError
from vmvc.records import FindingRecord
from vmvc.records_claims import VERDICTS, VerdictRecord
from vmvc.records_journal import UNCLEAN, StopRecord
from vmvc.records_summary import Summary
from vmvc.results_csv import summary_csv, write_iterations, write_measurements, write_series
from vmvc.rows import flagged, row_of
from vmvc.stopping import says

DERIVED: Final = ("measurements.csv", "summary.json", "summary.csv", "claims.json")


def rebuild(folder: Path) -> Summary:
    """Write every derived file of the run's folder anew and return the summary.

    Raises: ResultsError where the journal cannot be read; StorageError where a file cannot be written.
    """
    path = folder / "journal.jsonl"
    head = journal.head(path)
    summary, found = made(path)
    try:
        write_measurements(folder / "measurements.csv", head, path)
        durable.write(folder / "summary.json", summary.model_dump_json(exclude_none=True, indent=1) + "\n")
        durable.write(folder / "summary.csv", summary_csv(head, summary))
        durable.write(folder / "claims.json", found)
        lists = [*write_series(folder, head, path), *write_iterations(folder, head, path)]
        checksums.write(folder, [*checksums.INPUTS, *DERIVED, *lists])
    except OSError as error:
        raise StorageError(
            f"{folder}: the results cannot be written: {error.strerror}; the journal is whole",
            hint=f"make room, then: vmvc show --rebuild {folder}",
        ) from error
    return summary


def made(path: Path) -> tuple[Summary, str]:
    """Return what stands in summary.json and in claims.json, made from the journal.

    Raises: ResultsError.
    """
    found = claims_json(verdicts(path))
    return seal.sealed(summarise(path).model_copy(update={"claims": seal.digest(found)}), path), found


def summary_of(folder: Path) -> Summary:
    """Return the summary of a run: what summary.json says where it fits the journal, else made anew.

    Raises: ResultsError.
    """
    path = folder / "journal.jsonl"
    return seal.stored(folder) or seal.sealed(summarise(path), path)


def verdicts(path: Path) -> tuple[VerdictRecord, ...]:
    """Return a verdict on every claim of the run, from the journal alone; none where it has no claims.

    Raises: ResultsError.
    """
    head = journal.head(path)
    if not head.claims:
        return ()
    from vmvc import claims  # only where a verdict must be made: it takes much to import

    try:
        return claims.verdicts(head, list(conditions_of(head)), trials_of(path))
    except PydanticCustomError as error:
        raise ResultsError(
            f"{path}:1: a claim does not fit its quantity: {error.message()}",
            hint="restore the journal from a copy",
        ) from error


def verdicts_of(folder: Path) -> tuple[VerdictRecord, ...]:
    """Return the verdicts of a run: what claims.json says where it fits the journal, else made anew.

    Raises: ResultsError.
    """
    path = folder / "journal.jsonl"
    if not journal.head(path).claims:
        return ()
    return seal.stored_verdicts(folder) or verdicts(path)


def claims_json(found: tuple[VerdictRecord, ...]) -> str:
    """Return what stands in claims.json."""
    return VERDICTS.dump_json(found, exclude_none=True, indent=1).decode() + "\n"


def summarise(path: Path) -> Summary:
    """Return statistics per planned condition and quantity, from the journal alone.

    Raises: ResultsError.
    """
    cells = cells_of(path)
    head = cells.head
    conditions = list(conditions_of(head))
    stops = {stop.condition: stop for stop in stops_of(path)}
    planned = {one.id: stops[one.id].trials if one.id in stops else head.count for one in conditions}
    rows = [
        cells.attempts.on(
            row_of(
                condition,
                quantity,
                cells.find(condition, quantity),
                planned[condition.id],
                ruled=head.until is not None,
            )
        )
        for condition in conditions
        for quantity in head.quantities
    ]
    made = (_times(finding, count) for finding, count in cells.findings.items())
    baseline = head.baseline or next(iter(head.axes), "")
    compared = tuple(comparisons(conditions, head.quantities, cells.find, baseline, head.seed))
    bare = head.isolation.get(baseline) == "none"
    return Summary(
        run=head.run,
        name=head.name,
        trials=head.trials - sum(stop.skipped for stop in stops.values()),
        measured=cells.outcomes["measured"] + cells.outcomes[UNCLEAN],
        cleanup_failed=cells.outcomes[UNCLEAN],
        failed=cells.outcomes["failed"],
        findings=(
            *head.findings,
            *made,
            *cells.attempts.findings(),
            *_about_stops(tuple(stops.values())),
            *flagged(rows),
            *(beaten_hosts(compared, head.quantities) if bare else ()),
        ),
        stops=tuple(stops.values()),
        rows=tuple(rows),
        baseline=baseline,
        comparisons=compared,
        trends=tuple(trends(conditions, head.quantities, cells.find)),
    )


def _about_stops(stops: Sequence[StopRecord]) -> Iterator[FindingRecord]:
    """Say what the stop rule means for the intervals, and how far a condition still was at its last trial."""
    if any(stop.reason == "precise" for stop in stops):
        yield FindingRecord(
            code="stop.looks",
            severity="info",
            what="trials ended when the interval was narrow enough, looked at after every block: such a 95% "
            "interval covers some 92 to 94% (in simulations of skewed samples)",
            remedy="raise trials.until.min, or fix trials.count, where that matters",
        )
    for stop in stops:
        if stop.reason == "max":
            yield FindingRecord(
                code="stop.imprecise",
                severity="warning",
                what=f"{stop.condition}: {says(stop)}",
                remedy="raise trials.until.max, or state the precision that was reached",
            )


def _times(finding: FindingRecord, count: int) -> FindingRecord:
    """Say of a finding in how many trials it was made."""
    return finding.model_copy(update={"what": f"{finding.what} ({count} trial{'s' if count > 1 else ''})"})
