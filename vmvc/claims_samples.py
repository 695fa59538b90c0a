"""Trials of a run -> what its claims are about: samples, outcomes, and conditions that belong together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from vmvc.claims_figures import Sample
from vmvc.plan import Condition
from vmvc.records_journal import RunRecord, TrialRecord
from vmvc.spec import Level

Part = tuple[Condition, ...]
"""Conditions that one figure is made of, in the order in which the claim names their backends."""


@dataclass(slots=True)
class Measured:
    """What a run measured of what its claims are about; warm-ups are not in it.

    ``samples``: condition and ``metric.quantity`` -> values. ``trials``: condition and metric -> outcomes.
    ``absent``: condition and ``metric.quantity`` -> reasons why a measured trial has no value.
    """

    samples: dict[tuple[str, str], Sample] = field(default_factory=lambda: defaultdict(Sample))
    trials: dict[tuple[str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    absent: dict[tuple[str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    @classmethod
    def of(cls, head: RunRecord, trials: Iterable[TrialRecord]) -> Measured:
        """Keep of these trials what the run's claims are about."""
        wanted = {claim.metric for claim in head.claims}
        metrics = {name.partition(".")[0] for name in wanted}
        measured = cls()
        for trial in trials:
            for metric in metrics.intersection(trial.metrics):
                measured.trials[trial.condition, metric][trial.outcome] += 1
            for reading in trial.readings:
                name = f"{reading.metric}.{reading.quantity}"
                if name in wanted:
                    sample = measured.samples[trial.condition, name]
                    sample.values.append(reading.value)
                    sample.blocks.append(trial.block)
                    sample.resolution = max(sample.resolution, reading.resolution or 0.0)
            for absent in trial.absent:
                name = f"{absent.metric}.{absent.quantity}"
                if name in wanted:
                    measured.absent[trial.condition, name][absent.reason] += 1
        return measured


def joined(
    conditions: Mapping[str, Sequence[Condition]], backends: Sequence[str], at: Mapping[str, Level]
) -> Iterator[Part]:
    """Yield every group of one condition a backend whose common factors are at the same levels.

    ``conditions``: those of each backend; ``at``: only these levels.
    """
    groups: list[Part] = [()]
    before: set[str] = set()
    for backend in backends:
        there = [one for one in conditions.get(backend, ()) if _at(one, at)]
        paths = {path for one in there for path in one.factors}
        common = sorted(before & paths)
        before |= paths
        alike: dict[tuple[Level | None, ...], list[Condition]] = defaultdict(list)
        for one in there:
            alike[tuple(one.factors.get(path) for path in common)].append(one)
        groups = [(*group, one) for group in groups for one in alike.get(_levels(group, common), ())]
    yield from groups


def _at(condition: Condition, at: Mapping[str, Level]) -> bool:
    """Say whether the factors that both name are at the same levels."""
    return all(condition.factors[path] == level for path, level in at.items() if path in condition.factors)


def _levels(group: Part, paths: Sequence[str]) -> tuple[Level | None, ...]:
    levels = {path: level for one in group for path, level in one.factors.items()}
    return tuple(levels.get(path) for path in paths)
