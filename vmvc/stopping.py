"""A stop rule and the trials so far -> which conditions need no more trials, and the way to each decision.

On precision only, never on what the values say; declared before the first trial. Conditions are judged apart,
each after every block that it has completed, so they may end at different times. Nothing but the journal's
records decides: the same records give the same decisions, whether the run was interrupted or not.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass, field

from vmvc import stats
from vmvc.records_journal import StepRecord, StopRecord, TrialRecord, UntilRecord
from vmvc.spec import Trials
from vmvc.units import format_percent


def rule_of(settings: Trials) -> UntilRecord | None:
    """Return the rule as the journal keeps it, ``None`` where the number of trials is fixed."""
    until = settings.until
    if until is None:
        return None
    return UntilRecord(
        metric=until.metric,
        relative_ci=until.relative_ci,
        min=min(until.min, until.max),
        max=until.max,
    )


def says(stop: StopRecord) -> str:
    """Say a decision in a few words."""
    last, wanted = stop.path[-1].relative, format_percent(stop.wanted)
    trials = f"{stop.trials} trial{'s' if stop.trials > 1 else ''}"
    if stop.reason == "precise" and last is not None:
        return f"precise after {trials}: {stop.metric} is known to {last:.1%} ({wanted} was enough)"
    known = f"is known to {last:.1%}" if last is not None else f"has no interval (n = {stop.path[-1].n})"
    return f"not precise after the most trials, {stop.trials}: {stop.metric} {known} ({wanted} was wanted)"


@dataclass(slots=True)
class _Course:
    """One condition so far; ``values`` are sorted, ``begun`` counts the trials of the block under way."""

    values: list[float] = field(default_factory=list)
    resolution: float = 0.0
    begun: int = 0
    path: list[StepRecord] = field(default_factory=list)

    def step(self) -> StepRecord:
        """Return how well the median is known now.

        The interval is the one that the summary shows, so that what is promised is what is printed.
        """
        values, n = self.values, len(self.values)
        if not n:
            return StepRecord(n=0)
        median = (values[(n - 1) // 2] + values[n // 2]) / 2
        interval = stats.median_interval(values)
        if interval is None:
            return StepRecord(n=n, median=median)
        low, high = stats.widen(interval, self.resolution)
        low = max(low, 0.0) if values[0] >= 0 else low
        relative = (high - low) / 2 / abs(median) if median else None
        return StepRecord(n=n, median=median, low=low, high=high, relative=relative)


class Stopping:
    """Follows a run; ``groups`` is how many trials a condition has in each block."""

    def __init__(self, rule: UntilRecord, groups: int, decided: Iterable[StopRecord] = ()) -> None:
        """``decided``: what an earlier call has written down; it stands."""
        self._rule = rule
        self._groups = groups
        self._metric, _, self._quantity = rule.metric.partition(".")
        self._courses: dict[str, _Course] = {}
        self._stops = {stop.condition: stop for stop in decided}

    @property
    def stops(self) -> tuple[StopRecord, ...]:
        """Every decision so far."""
        return tuple(self._stops.values())

    def over(self, condition: str) -> bool:
        """Say whether the condition needs no more trials."""
        return condition in self._stops

    def add(self, trial: TrialRecord) -> StopRecord | None:
        """Take a trial in, in the order in which they ran; return the decision that it leads to."""
        if trial.warmup or self.over(trial.condition):
            return None
        course = self._courses.setdefault(trial.condition, _Course())
        for reading in trial.readings:
            if (reading.metric, reading.quantity) == (self._metric, self._quantity):
                insort(course.values, reading.value)
                course.resolution = max(course.resolution, reading.resolution or 0.0)
        course.begun += 1
        if course.begun < self._groups:
            return None
        course.begun = 0
        course.path.append(course.step())
        reason = self._reason(course)
        if reason is None:
            return None
        stop = StopRecord(
            backend=trial.backend,
            condition=trial.condition,
            metric=self._rule.metric,
            reason="precise" if reason == "precise" else "max",
            wanted=self._rule.relative_ci,
            trials=len(course.path),
            skipped=(self._rule.max - len(course.path)) * self._groups,
            path=tuple(course.path),
        )
        self._stops[trial.condition] = stop
        del self._courses[trial.condition]
        return stop

    def _reason(self, course: _Course) -> str | None:
        last = course.path[-1]
        if last.n >= self._rule.min and last.relative is not None and last.relative <= self._rule.relative_ci:
            return "precise"
        return "max" if len(course.path) >= self._rule.max else None

    def expected(self, condition: str) -> int:
        """Guess how many measured trials the condition takes in all: its interval narrows by 1/sqrt(n)."""
        course = self._courses.get(condition, _Course())
        last = course.path[-1] if course.path else StepRecord(n=0)
        if last.relative is None or not self._rule.relative_ci:
            return self._rule.max
        values = max(last.n * (last.relative / self._rule.relative_ci) ** 2, self._rule.min)
        trials = math.ceil(min(values * len(course.path) / last.n, self._rule.max))
        return max(trials, min(len(course.path) + 1, self._rule.max))
