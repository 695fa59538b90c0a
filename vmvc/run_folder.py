"""The folder of a run: made for a new one, discarded where none began, read where one is taken up again."""

from __future__ import annotations

import json
from pathlib import Path

from vmvc import loading
from vmvc.errors import ResultsError
from vmvc.loading import Loaded
from vmvc.manifest import digest
from vmvc.records_journal import RunRecord


def make(folder: Path) -> None:
    """Make the folder of a new run.

    Raises: ResultsError where it cannot be written.
    """
    try:
        (folder / "logs").mkdir(parents=True)
    except OSError as error:
        raise ResultsError(
            f"{error.filename or folder}: the results folder cannot be written: {error.strerror}",
            hint="choose another folder with --results",
        ) from error


def discard(folder: Path) -> None:
    """Remove the folder of a run that never began, unless the worker left words in it."""
    log = folder / "logs" / "worker.log"
    if log.exists() and log.stat().st_size:
        return
    for path in (log, folder / "run.json", folder / "experiment.yaml"):
        path.unlink(missing_ok=True)
    (folder / "logs").rmdir()
    folder.rmdir()


def reload(folder: Path, head: RunRecord) -> Loaded:
    """Load the experiment of a run once more, as it was given.

    Raises: ResultsError where it cannot be read, or is not what the run was started with.
    """
    try:
        source = (folder / "experiment.yaml").read_bytes()
        anchor = Path(json.loads((folder / "run.json").read_bytes())["folder"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultsError(
            f"{folder}: experiment.yaml or run.json cannot be read: {error}",
            hint="restore the folder from a copy, or start the experiment again",
        ) from error
    if digest(source) != head.experiment_sha256:
        raise ResultsError(
            f"{folder / 'experiment.yaml'}: changed since the run was started",
            hint="put the original back, or start a new run of the changed file",
        )
    return loading.loads(source, str(folder / "experiment.yaml"), anchor, references=False)
