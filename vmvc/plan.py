"""The experiment's axes and trials -> a plan: which trial runs when; pure data, seeded, never materialised.

A plan of 10,000 conditions and a million trials costs no more memory than its axes: conditions are decoded
from their number, and each block is shuffled when it is reached. The same seed gives the same plan on every
machine and Python version, since only ``random.random()``, whose sequence Python promises, decides.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import count, product
from typing import NamedTuple

from vmvc.spec import Entry, Level, Trials

Axes = Mapping[str, tuple[Level, ...]]
"""Factor path -> levels that apply to one backend."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One backend at one combination of factor levels; ``number`` counts from 0 in file order."""

    number: int
    backend: str
    factors: Mapping[str, Level]

    @property
    def id(self) -> str:
        """A readable identity, unique in the run: ``docker`` or ``docker guest.memory=1GiB``."""
        return " ".join(
            [self.backend, *(f"{path}={show_level(level)}" for path, level in self.factors.items())]
        )


def show_level(level: Level) -> str:
    """Write a level as the file would."""
    return str(level).lower() if isinstance(level, bool) else str(level)


def same(one: Level, other: Level) -> bool:
    """Say whether two levels are the same as the file writes them: 1 is neither true nor 1.0."""
    return type(one) is type(other) and one == other


class PlannedTrial(NamedTuple):
    """One life of one instance that is to come.

    ``number``, ``block`` and ``position`` count from 1; ``metrics`` are the names to measure in this life.
    """

    number: int
    block: int
    position: int
    warmup: bool
    condition: Condition
    metrics: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """Every trial of a run, in order.

    ``axes``: per backend, the factors that apply to it. ``groups``: metrics that may share an instance; each
    condition gets one trial per group in every block. ``only``: backend names or patterns of condition ids.
    ``include``: conditions besides the combinations, each for its ``backend``, numbered after them.
    ``exclude``: combinations of a ``backend`` that are left out; the others keep their numbers.
    """

    axes: Mapping[str, Axes]
    groups: tuple[tuple[str, ...], ...]
    settings: Trials
    only: tuple[str, ...] = ()
    include: tuple[Entry, ...] = ()
    exclude: tuple[Entry, ...] = ()
    _selected: Sequence[int] = field(init=False, repr=False, compare=False)
    _dropped: frozenset[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        selected: Sequence[int] = range(self._combinations + len(self.include))
        dropped = frozenset(number for entry in self.exclude for number in self._matching(entry))
        object.__setattr__(self, "_dropped", dropped)
        if dropped:
            selected = [number for number in selected if number not in dropped]
        if self.only:
            selected = [number for number in selected if self._wanted(number)]
        object.__setattr__(self, "_selected", selected)

    @property
    def _combinations(self) -> int:
        return sum(self._count(axes) for axes in self.axes.values())

    def having(self, entry: Entry) -> list[int]:
        """Return the numbers of the combinations that have all levels of an entry and are not left out."""
        return [number for number in self._matching(entry) if number not in self._dropped]

    def _matching(self, entry: Entry) -> Iterator[int]:
        """Yield the numbers of the combinations that have all levels of an entry."""
        begin = 0
        for backend, axes in self.axes.items():
            size = self._count(axes)
            if backend == entry["backend"] and axes.keys() >= entry.keys() - {"backend"}:
                numbers, step = [begin], size
                for path, levels in axes.items():
                    step //= len(levels)
                    fitting = [
                        index
                        for index, level in enumerate(levels)
                        if path not in entry or same(level, entry[path])
                    ]
                    numbers = [number + index * step for number in numbers for index in fitting]
                yield from numbers
            begin += size

    @staticmethod
    def _count(axes: Axes) -> int:
        return math.prod(len(levels) for levels in axes.values())

    def _wanted(self, number: int) -> bool:
        condition = self.condition(number)
        return any(
            pattern == condition.backend or fnmatchcase(condition.id, pattern) for pattern in self.only
        )

    def condition(self, number: int) -> Condition:
        """Decode the condition of that number.

        Raises: IndexError.
        """
        rest = number
        for backend, axes in self.axes.items():
            size = self._count(axes)
            if rest >= size:
                rest -= size
                continue
            factors: dict[str, Level] = {}
            for path, levels in axes.items():
                size //= len(levels)
                factors[path], rest = levels[rest // size], rest % size
            return Condition(number, backend, factors)
        if rest >= len(self.include):
            raise IndexError(number)
        entry = self.include[rest]
        levels_by_path = {path: level for path, level in entry.items() if path != "backend"}
        return Condition(number, str(entry["backend"]), levels_by_path)

    @property
    def mixed(self) -> bool:
        """True where some trials begin with an empty page cache and others with a warm one."""
        return len({self.cold(condition) for condition in self.conditions}) > 1

    def cold(self, condition: Condition) -> bool:
        """Say whether the trials of the condition begin with an empty page cache."""
        return condition.factors.get("trials.cache", self.settings.cache) == "cold"

    def absent(self, condition: Condition) -> bool:
        """Say whether the trials of the condition begin without the image."""
        return condition.factors.get("trials.image", self.settings.image) == "absent"

    @property
    def conditions(self) -> Iterator[Condition]:
        """The selected conditions, in file order."""
        return (self.condition(number) for number in self._selected)

    @property
    def condition_count(self) -> int:
        return len(self._selected)

    @property
    def blocks(self) -> int:
        return self.settings.warmup + self.settings.most

    def __len__(self) -> int:
        return self.condition_count * len(self.groups) * self.blocks

    def __iter__(self) -> Iterator[PlannedTrial]:
        return self._sequential() if self.settings.order == "sequential" else self._in_blocks()

    def _in_blocks(self) -> Iterator[PlannedTrial]:
        decode = lru_cache(maxsize=65536)(self.condition)
        cells = [(number, group) for number in self._selected for group in self.groups]
        numbers = count(1)
        for block in range(1, self.blocks + 1):
            warmup = block <= self.settings.warmup
            order = cells
            if self.settings.order == "randomized-blocks":
                rng = random.Random(f"{self.settings.seed}/{block}")
                keys = [rng.random() for _ in cells]
                order = [cells[index] for index in sorted(range(len(cells)), key=keys.__getitem__)]
            for position, (chosen, group) in enumerate(order, 1):
                yield PlannedTrial(next(numbers), block, position, warmup, decode(chosen), group)

    def _sequential(self) -> Iterator[PlannedTrial]:
        numbers = count(1)
        for position, chosen in enumerate(self._selected, 1):
            condition = self.condition(chosen)
            for block, group in self._turns():
                warmup = block <= self.settings.warmup
                yield PlannedTrial(next(numbers), block, position, warmup, condition, group)

    def _turns(self) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Yield one condition's blocks and groups: group by group, but in turns where a rule may stop it."""
        blocks = range(1, self.blocks + 1)
        if self.settings.until is not None:
            yield from product(blocks, self.groups)
        else:
            yield from ((block, group) for group in self.groups for block in blocks)


def group_metrics(names: Sequence[str], loading: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Put metrics that only look into one shared instance; each one that loads the guest gets its own."""
    shared = tuple(name for name in names if name not in loading)
    return ((shared,) if shared else ()) + tuple((name,) for name in names if name in loading)
