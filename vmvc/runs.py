"""A results folder -> the runs in it: the newest, or one overview a run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field

from vmvc import journal, results, unpacking
from vmvc.attempts import stops_of, trials_of
from vmvc.errors import ResultsError
from vmvc.records import Record
from vmvc.records_journal import UNCLEAN

UNFINISHED: Final = "running or interrupted"

_LEFT: Final = ("journal.jsonl", "run.json")
"""Files by which a folder is known as a run's."""


class Overview(Record):
    """One run in a line."""

    folder: str = Field(description="Folder of the run.")
    experiment: str = Field(description="Name of the experiment: that of the folder where it is unreadable.")
    run: str = Field(description="Id of the run: the folder's name where it is unreadable.")
    wall: str = Field(default="", description="When it began (UTC, ISO 8601); absent where nothing says so.")
    state: Literal["finished", "running or interrupted", "unreadable"] = Field(
        description="`finished`: every planned trial is recorded."
    )
    planned: int | None = Field(default=None, ge=0, description="Planned trials, warm-ups included.")
    measured: int | None = Field(default=None, ge=0, description="Trials with readings.")
    cleanup_failed: int | None = Field(
        default=None, ge=0, description="Those of them whose instance could not be removed."
    )
    failed: int | None = Field(default=None, ge=0, description="Trials whose last attempt failed.")
    verdicts: Mapping[str, int] = Field(
        default_factory=dict, description="Verdict -> claims with it; empty where there are no claims."
    )
    reason: str = Field(default="", description="Why it is unreadable; absent where it is not.")


def newest(folder: Path) -> Path:
    """Return the folder itself where it is a run, else the newest run below it; of a bundle, its run.

    A bundle is unpacked until this process ends.

    Raises: ResultsError; InputError where a bundle is none.
    """
    if unpacking.is_bundle(folder):
        return unpacking.temporary(folder)
    if (folder / "journal.jsonl").exists():
        return folder
    runs = sorted(path.parent for path in folder.glob("*/journal.jsonl"))
    if not runs:
        raise ResultsError(f"{folder}: holds no run", hint="give the folder of a run, results/EXPERIMENT/RUN")
    return runs[-1]


def holds_experiments(folder: Path) -> bool:
    """Say whether the folder is one of results: it holds experiments' folders, and is none itself."""
    if any((folder / name).exists() or any(folder.glob(f"*/{name}")) for name in _LEFT):
        return False
    return any(any(folder.glob(f"*/*/{name}")) for name in _LEFT)


def overviews(folder: Path) -> Iterator[Overview]:
    """Yield each run below ``results/EXPERIMENT``, by experiment, the oldest first.

    Raises: ResultsError where the folder is none.
    """
    if not folder.is_dir():
        raise ResultsError(f"{folder}: is no folder", hint="name the folder of the results with --results")
    for place in sorted({path.parent for name in _LEFT for path in folder.glob(f"*/*/{name}")}):
        try:
            yield _overview(place / "journal.jsonl")
        except ResultsError as error:
            yield Overview(
                folder=str(place),
                experiment=place.parent.name,
                run=place.name,
                state="unreadable",
                reason=error.what,
            )


def facts_of(folder: Path) -> Mapping[str, Any]:
    """Return what run.json says.

    Raises: ResultsError where it is missing or damaged.
    """
    path = folder / "run.json"
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror}", hint="restore it from a copy") from error
    except (ValueError, RecursionError) as error:
        raise ResultsError(f"{path}: not JSON", hint="restore it from a copy") from error
    if not isinstance(found, dict):
        raise ResultsError(f"{path}: expected an object, got {found!r:.40}", hint="restore it from a copy")
    return found


def _overview(path: Path) -> Overview:
    head = journal.head(path)
    counts: Counter[str] = Counter()
    wall = ""
    for trial in trials_of(path):
        wall = wall or trial.wall
        counts[trial.outcome] += 1
    planned = head.trials - sum(stop.skipped for stop in stops_of(path))
    with suppress(ResultsError):  # without run.json the first trial says when
        wall = str(facts_of(path.parent).get("wall") or wall)
    return Overview(
        folder=str(path.parent),
        experiment=head.name,
        run=head.run,
        wall=wall,
        state="finished" if counts.total() >= planned else UNFINISHED,
        planned=planned,
        measured=counts["measured"] + counts[UNCLEAN],
        cleanup_failed=counts[UNCLEAN],
        failed=counts["failed"],
        verdicts=dict(sorted(Counter(one.verdict for one in results.verdicts_of(path.parent)).items())),
    )
