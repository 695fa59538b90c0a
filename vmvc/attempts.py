"""journal.jsonl -> the attempts at its trials, each trial by its last one, and what a stop rule decided."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from vmvc import journal
from vmvc.errors import ResultsError
from vmvc.records import FindingRecord
from vmvc.records_journal import UNCLEAN, RunRecord, StopRecord, TrialRecord
from vmvc.records_summary import SummaryRow


def attempts_of(path: Path) -> Iterator[TrialRecord]:
    """Yield every attempt at every trial, in the order in which they ran.

    Raises: ResultsError where an attempt is neither a trial's first nor follows its failed one before, or
    a second run begins.
    """
    seen: set[int] = set()
    last: TrialRecord | None = None
    for number, line in enumerate(journal.read(path), 1):
        if isinstance(line, RunRecord) and number > 1:
            raise ResultsError(
                f"{path}:{number}: a second run begins here; values of two runs are never put together",
                hint="give each run a folder of its own",
            )
        if not isinstance(line, TrialRecord):
            continue
        again = last is not None and last.outcome == "failed" and last.trial == line.trial
        expected = last.attempt + 1 if last is not None and again else 1
        if line.attempt != expected or (line.trial in seen and not again):
            what = f"trial {line.trial} is recorded twice"
            if line.attempt != expected and line.attempt > 1:
                what = f"attempt {line.attempt} at trial {line.trial} follows no failed one before it"
            raise ResultsError(f"{path}: {what}", hint="restore the journal from a copy")
        seen.add(line.trial)
        last = line
        yield line


def trials_of(path: Path) -> Iterator[TrialRecord]:
    """Yield each trial once, by its last attempt so far, in the order in which they ran.

    Raises: ResultsError as ``attempts_of``.
    """
    return (attempt for attempt, last in with_last(attempts_of(path)) if last)


def with_last(attempts: Iterable[TrialRecord]) -> Iterator[tuple[TrialRecord, bool]]:
    """Say of each attempt whether it is its trial's last so far."""
    before: TrialRecord | None = None
    for attempt in attempts:
        if before is not None:
            yield before, before.trial != attempt.trial
        before = attempt
    if before is not None:
        yield before, True


def troubles(failed: int, cleanup_failed: int) -> str:
    """Say how many trials failed, and in how many measured ones cleanup did, to follow a count of trials."""
    bad = f", {failed} failed" if failed else ""
    return bad + (f", cleanup failed in {cleanup_failed}" if cleanup_failed else "")


class Attempts:
    """Counts the attempts at measured trials, by condition and metric, and those that came to nothing."""

    def __init__(self) -> None:
        self._tried: Counter[tuple[str, str]] = Counter()
        self._retried: Counter[tuple[str, str]] = Counter()
        self._unclean: Counter[tuple[str, str]] = Counter()
        self._again: Counter[str] = Counter()
        self._lost: dict[str, Counter[str]] = defaultdict(Counter)

    def add(self, attempt: TrialRecord, last: bool) -> None:
        """Count one; ``last``: it is its trial's last so far."""
        if attempt.warmup:
            return
        self._again[attempt.condition] += attempt.attempt == 2
        for metric in attempt.metrics:
            self._tried[attempt.condition, metric] += 1
            self._retried[attempt.condition, metric] += attempt.attempt == 2
            self._unclean[attempt.condition, metric] += attempt.outcome == UNCLEAN
        if not last and attempt.failure is not None:
            self._lost[attempt.condition][f"{attempt.failure.phase}: {attempt.failure.reason}"] += 1

    def on(self, row: SummaryRow) -> SummaryRow:
        """Return the row with its counts."""
        cell = (row.condition, row.metric)
        counts = {"attempts": self._tried, "retried": self._retried, "cleanup_failed": self._unclean}
        return row.model_copy(update={name: count[cell] for name, count in counts.items()})

    def findings(self) -> Iterator[FindingRecord]:
        """Yield one for each condition with trials that needed more than one attempt."""
        for condition, reasons in self._lost.items():
            again = self._again[condition]
            trials = f"{again} trial{'s' if again > 1 else ''}"
            why = "; ".join(f"{times} of {reasons.total()}: {what}" for what, times in reasons.most_common())
            yield FindingRecord(
                code="trial.retried",
                severity="warning",
                what=f"{condition}: {trials} needed more than one attempt ({why})",
                remedy="state the failed attempts with the numbers; cure the cause rather than retry",
            )


def stops_of(path: Path) -> Iterator[StopRecord]:
    """Yield what the stop rule decided, one decision a condition.

    Raises: ResultsError where a condition was stopped twice.
    """
    seen = set()
    for line in journal.read(path):
        if isinstance(line, StopRecord):
            if line.condition in seen:
                raise ResultsError(
                    f"{path}: {line.condition} is stopped twice", hint="restore the journal from a copy"
                )
            seen.add(line.condition)
            yield line
