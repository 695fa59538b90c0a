"""A run's folder -> what speaks against handing it on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from vmvc import audit, journal
from vmvc.attempts import stops_of, trials_of
from vmvc.errors import Fault, ResultsError
from vmvc.manifest import digest

WHOLE: Final = (
    *("experiment.yaml", "run.json", "journal.jsonl"),
    *("measurements.csv", "summary.json", "summary.csv", "claims.json", "report.html", "report.md"),
)
"""Files that a finished run's folder holds."""


def doubts(folder: Path) -> Iterator[Fault]:
    """Yield why a reader of this run would be misled; nothing where it is whole.

    Raises: ResultsError where the journal cannot be read, or what no bundle can be without is missing.
    """
    head = journal.head(folder / "journal.jsonl")
    source = _read(folder / "experiment.yaml")
    _read(folder / "run.json")
    if digest(source) != head.experiment_sha256:
        yield Fault(
            "was edited since the run was started",
            str(folder / "experiment.yaml"),
            hint="restore it from a copy",
        )
    yield from audit.audit(folder)
    try:
        trials = list(trials_of(folder / "journal.jsonl"))
        stops = list(stops_of(folder / "journal.jsonl"))
    except ResultsError:
        return  # the audit has named its lines
    planned = head.trials - sum(stop.skipped for stop in stops)
    if len(trials) < planned:
        yield Fault(
            f"the run is not finished: {len(trials)} of {planned} trials are recorded",
            str(folder),
            hint=f"wait for its end, or: vmvc run --resume {folder}",
        )
    if not any(trial.measured and not trial.warmup for trial in trials):
        yield Fault("no trial was measured", str(folder), hint="vmvc show RUN says why they failed")
    for name in WHOLE:
        if not (folder / name).is_file():
            yield Fault("is missing", str(folder / name), hint=f"vmvc show --rebuild {folder}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror}", hint="restore it from a copy") from error
