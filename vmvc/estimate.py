"""A plan -> about how long it takes: from an earlier run of the same experiment, else by rule of thumb."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Final

from vmvc import journal
from vmvc.contract import Isolation
from vmvc.errors import ResultsError
from vmvc.loading import Loaded
from vmvc.plan import Plan
from vmvc.records_journal import RunRecord, StopRecord, TrialRecord

Group = tuple[str, ...]
"""Names of the metrics of one trial."""

RULE_OF_THUMB: Final = {Isolation.NONE: 0.3, Isolation.CONTAINER: 1.5, Isolation.VM: 8.0}
"""Seconds of a trial without what its metrics wait for."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds that the trials will take, and what the guess stands on."""

    seconds: float
    basis: str


def estimate(loaded: Loaded, plan: Plan, results: Path, run: Path | None = None) -> Estimate:
    """Guess the time of a plan, from the newest run of the experiment or from the ``run`` that is named.

    Never fails, since an old run that cannot be read is passed over.
    """
    runs = [run] if run is not None else sorted((results / loaded.experiment.name).glob("*/"))
    seen = _taken(runs)
    each = {
        (name, group): seen.get((name, group), _by_thumb(loaded, name, group)) + plan.settings.pause
        for name in loaded.experiment.backends
        for group in plan.groups
    }
    mixed = plan.mixed
    seconds = plan.blocks * sum(
        each[one.backend, group]
        * (2 if mixed and not plan.cold(one) and (one.backend, group) not in seen else 1)
        for one in plan.conditions
        for group in plan.groups
    )
    known = all(one in seen for one in each)
    return Estimate(seconds, "from an earlier run here" if known else "a rule of thumb until it has run here")


def _by_thumb(loaded: Loaded, backend: str, group: Group) -> float:
    """Add what the metrics of a trial wait for to the lives of instances that it takes."""
    metrics = [metric for metric in loaded.metrics if metric.name in group]
    lives = max((metric.lives() for metric in metrics), default=1)
    waiting = sum(metric.seconds() for metric in metrics)
    return RULE_OF_THUMB[loaded.backends[backend].isolation] * lives + waiting


def _taken(runs: Sequence[Path]) -> dict[tuple[str, Group], float]:
    """Return the median seconds from one trial's begin to the next, less the pause, in the last run.

    Per backend and metrics of a trial. A retry is a trial of its own here.
    """
    journals = [path for run in runs if (path := run / "journal.jsonl").exists()]
    if not journals:
        return {}
    taken: dict[tuple[str, Group], list[float]] = defaultdict(list)
    last: TrialRecord | None = None
    pause = 0.0
    try:
        for line in journal.read(journals[-1]):
            if isinstance(line, StopRecord):
                continue
            if not isinstance(line, TrialRecord):
                pause = line.pause if isinstance(line, RunRecord) else pause
                last = None
                continue
            if last is not None:
                taken[last.backend, last.metrics].append(_seconds_between(last.wall, line.wall) - pause)
            last = line
    except ResultsError:
        return {}
    return {one: max(0.0, median(spans)) for one, spans in taken.items()}


def _seconds_between(before: str, after: str) -> float:
    return (datetime.fromisoformat(after) - datetime.fromisoformat(before)).total_seconds()
