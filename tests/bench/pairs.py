"""Two things to time -> a row of a table: both medians and their ratio, from interleaved pairs in one run.

Machines are noisy and drift, so the two take turns and the ratio is taken pair by pair. Nothing here fails a
build: a benchmark prints what it measured beside what was promised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from vmvc import stats
from vmvc.cli.text import write
from vmvc.units import show_seconds


@dataclass(frozen=True)
class Pairs:
    """Seconds of both, pair by pair."""

    ours: list[float]
    floor: list[float]

    @property
    def ratio(self) -> float:
        """Ratio of the medians."""
        return median(self.ours) / median(self.floor)

    @property
    def interval(self) -> stats.Interval | None:
        """95% interval of the median of the pairs' ratios."""
        return stats.median_interval([a / b for a, b in zip(self.ours, self.floor, strict=True)])


def measure(ours: Callable[[], float], floor: Callable[[], float], count: int) -> Pairs:
    """Time both ``count`` times, taking turns in who is first; one pair before that is thrown away."""
    ours(), floor()
    first: list[float] = []
    second: list[float] = []
    for number in range(count):
        if number % 2:
            second.append(floor())
            first.append(ours())
        else:
            first.append(ours())
            second.append(floor())
    return Pairs(first, second)


def show(name: str, pairs: Pairs, promise: str) -> None:
    """Print one benchmark."""
    low, high = pairs.interval or (float("nan"), float("nan"))
    columns = ["benchmark", "vmvc", "floor", "ratio of medians", "pairs: median ratio [95%]", "promise"]
    by_pair = median(a / b for a, b in zip(pairs.ours, pairs.floor, strict=True))
    cells = [
        name,
        show_seconds(median(pairs.ours)),
        show_seconds(median(pairs.floor)),
        f"{pairs.ratio:.4f}",
        f"{by_pair:.4f} [{low:.4f}, {high:.4f}] n={len(pairs.ours)}",
        promise,
    ]
    print()
    write(columns, [cells], right=columns[1:4])
