"""The iterations within the trials of one condition -> where the spread arises, and how many of them pay."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vmvc import stats
from vmvc.records_journal import ReadingRecord, TrialRecord


@dataclass(frozen=True, slots=True)
class Nested:
    """The iterations of one trial; ``iteration`` and ``life``: seconds of one, and of all else in the trial.

    Both are ``None`` where the trial's instants do not tell.
    """

    values: tuple[float, ...]
    iteration: float | None = None
    life: float | None = None


def nested_of(trial: TrialRecord, reading: ReadingRecord) -> Nested | None:
    """Return the iterations that a reading is made of; ``None`` where it is one value."""
    if not reading.iterations:
        return None
    events, names = trial.events, ("requested", "ready", "stop_requested", "gone")
    if not all(name in events for name in names):
        return Nested(reading.iterations)
    requested, ready, stop, gone = (events[name].at_ns / 1e9 for name in names)
    discarded = len(reading.warmups or ())
    each = (stop - ready) / (len(reading.iterations) + discarded)
    return Nested(reading.iterations, each, (ready - requested) + (gone - stop) + discarded * each)


def spread_of(trials: Sequence[Nested]) -> dict[str, object]:
    """Return the summary's fields about iterations; those that cannot be told are left out.

    Source: Kalibera & Jones (2013), as in ``vmvc.stats``.
    """
    counts = {len(one.values) for one in trials}
    if len(counts) != 1:
        return {}
    (count,) = counts
    found: dict[str, object] = {"iterations": count}
    if count < 2 or len(trials) < 2:
        return found
    parts = stats.components([one.values for one in trials])
    found["sd_within"], found["sd_between"] = math.sqrt(parts.spread[0]), math.sqrt(parts.own[1])
    costs = [(one.iteration, one.life) for one in trials if one.iteration and one.life]
    if len(costs) == len(trials):
        inner, outer = (math.fsum(cost[level] or 0.0 for cost in costs) / len(costs) for level in (0, 1))
        best = stats.repetitions(parts.own, [inner, outer])[0]
        if best is not None:
            found["iterations_best"] = best
    return found
