"""A plan and the trials so far -> how long the rest takes: mean seconds per backend, times what is left."""

from __future__ import annotations

import time
from collections import Counter, defaultdict

from vmvc.plan import Plan


class Pace:
    """Follows a run from its first trial on."""

    def __init__(self, plan: Plan) -> None:
        self._left: Counter[str] = Counter()
        self._blocks: dict[str, int] = {}
        self._most, self._groups = plan.blocks, len(plan.groups)
        for condition in plan.conditions:
            self._left[condition.backend] += len(plan.groups) * plan.blocks
        self._taken: dict[str, list[float]] = defaultdict(lambda: [0, 0.0])
        self._begun = time.monotonic()

    def begun(self) -> None:
        self._begun = time.monotonic()

    def ended(self, backend: str, *, again: bool = False) -> None:
        """Count a trial, or its time alone where it was tried ``again``."""
        tally = self._taken[backend]
        if not again:
            self._left[backend] -= 1
            tally[0] += 1
        tally[1] += time.monotonic() - self._begun

    def expect(self, backend: str, condition: str, blocks: int) -> None:
        """Reckon with so many blocks of a condition in all."""
        before = self._blocks.get(condition, self._most)
        self._blocks[condition] = blocks
        self._left[backend] += (blocks - before) * self._groups

    def skip(self, count: int) -> None:
        """Leave out trials that an earlier call has done, spread over the backends."""
        total = self._left.total()
        for backend in self._left:
            self._left[backend] -= round(count * self._left[backend] / total) if total else 0

    def left(self) -> float | None:
        """Return the seconds that are left; ``None`` until every backend has been seen."""
        if any(left > 0 and backend not in self._taken for backend, left in self._left.items()):
            return None
        return sum(
            max(0, left) * self._taken[backend][1] / self._taken[backend][0]
            for backend, left in self._left.items()
            if backend in self._taken and self._taken[backend][0]
        )
