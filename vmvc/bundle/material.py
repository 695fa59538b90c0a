"""A run's folder -> all that the texts and the metadata of its bundle are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from vmvc import journal, loading, results, runs
from vmvc.attempts import attempts_of
from vmvc.bundle.inputs import Inputs, collect
from vmvc.errors import Fault, InputError, ResultsError
from vmvc.loading import Loaded
from vmvc.records_claims import VerdictRecord
from vmvc.records_journal import RunRecord
from vmvc.records_summary import Summary


@dataclass(frozen=True, slots=True)
class Material:
    """One run, as a bundle tells of it.

    ``begin``, ``end``: wall-clock times, labels only. ``licence``: an SPDX identifier, empty where nobody
    stated one. ``doubts``: what speaks against the run; empty where it is whole.
    """

    folder: Path
    head: RunRecord
    facts: Mapping[str, Any]
    loaded: Loaded
    summary: Summary
    verdicts: tuple[VerdictRecord, ...]
    inputs: Inputs
    begin: datetime
    end: datetime
    authors: tuple[str, ...]
    licence: str
    doubts: tuple[Fault, ...]

    @property
    def title(self) -> str:
        return self.loaded.experiment.title or self.head.name

    @property
    def backends(self) -> Mapping[str, Mapping[str, Any]]:
        """Backend -> what run.json says of it."""
        found = self.facts.get("backends")
        return found if isinstance(found, dict) else {}


def gather(
    folder: Path, *, authors: Sequence[str], licence: str, doubts: Sequence[Fault], largest: int
) -> Material:
    """Return the material of a run; ``largest``: bytes of the largest file that comes along.

    Raises: ResultsError where its files cannot be read, or this vmvc cannot read its experiment.
    """
    path = folder / "journal.jsonl"
    facts = runs.facts_of(folder)
    loaded = _experiment(folder, facts)
    begin, end = _times(path, facts)
    return Material(
        folder=folder,
        head=journal.head(path),
        facts=facts,
        loaded=loaded,
        summary=results.summary_of(folder),
        verdicts=results.verdicts(path),
        inputs=collect(loaded, begin, largest),
        begin=begin,
        end=end,
        authors=tuple(authors),
        licence=licence,
        doubts=tuple(doubts),
    )


def _experiment(folder: Path, facts: Mapping[str, Any]) -> Loaded:
    path = folder / "experiment.yaml"
    try:
        return loading.loads(
            path.read_bytes(), str(path), Path(str(facts.get("folder", folder))), references=False
        )
    except InputError as error:
        raise ResultsError(
            f"{path}: this vmvc cannot read the run's experiment:\n{error}",
            hint="use the vmvc that wrote it (run.json names its version)",
        ) from error


def _times(path: Path, facts: Mapping[str, Any]) -> tuple[datetime, datetime]:
    """Return when the run began, and when its last trial's last event was."""
    begin = _moment(facts.get("wall"))
    end = None
    for trial in attempts_of(path):
        wall = _moment(trial.wall)
        instants = [event.at_ns for event in trial.events.values()]
        lasted = (max(instants) - min(instants)) / 1e9 if instants else 0.0
        end = wall + timedelta(seconds=lasted) if wall is not None else end
        begin = begin or wall
    if begin is None:
        raise ResultsError(
            f"{path.parent / 'run.json'}: says nowhere when the run began", hint="restore it from a copy"
        )
    return begin, max(begin, end or begin)


def _moment(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text)).astimezone(UTC)
    except ValueError:
        return None
