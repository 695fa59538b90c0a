"""Samples -> tests of whether they differ, with effect sizes, and a correction for many tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vmvc.stats.sample import Sample, finite

if TYPE_CHECKING:
    from vmvc.stats.sample import Floats, Samples

LEAST: Final = 4
"""Values in each sample below which no test is made: with 3 against 3 no p is below 0.1."""

MOST_EXACT: Final = 50
"""Values in both samples up to which p is exact; their permutations still fit a double (52 bits)."""

MANN_WHITNEY: Final = "exact Mann-Whitney"
BRUNNER_MUNZEL: Final = "Brunner-Munzel"
KRUSKAL: Final = "Kruskal-Wallis"


@dataclass(frozen=True, slots=True)
class Test:
    """A two-sided test of whether a tends to be larger or smaller than b.

    ``statistic`` and ``p`` are ``None`` where no test is made (``reason``, ``needs`` values in each sample).
    ``a12``: chance that a value of a is larger than one of b, ties counting half; ``delta`` = 2 a12 - 1 is
    Cliff's. Both are positive effects for a larger than b.
    """

    name: str
    statistic: float | None
    p: float | None
    a12: float
    delta: float
    reason: str = ""
    needs: int | None = None


@dataclass(frozen=True, slots=True)
class GroupTest:
    """A test of whether any of several samples tends to differ; ``p`` is ``None`` where none is made."""

    name: str
    statistic: float | None
    p: float | None
    reason: str = ""
    needs: int | None = None


def compare(a: Samples, b: Samples) -> Test:
    """Return the test that fits two samples.

    Up to ``MOST_EXACT`` values: Mann-Whitney with the exact distribution of U given the ties. Above:
    Brunner-Munzel, which bears unequal spread; where it has no variance to divide by, because no value of the
    one reaches into the other or all are equal, the exact p takes its place.

    Raises: ValueError as ``five_numbers``.
    Source: Mann & Whitney (1947); Brunner & Munzel (2000); Vargha & Delaney (2000) for A12.
    """
    return compare_of((Sample.of(a), Sample.of(b)))


def compare_of(samples: tuple[Sample, Sample]) -> Test:
    """Do what ``compare`` does, for samples that are already sorted."""
    first, second = samples[0].ordered, samples[1].ordered
    m, n = len(first), len(second)
    ours, theirs = _below(first, second), _below(second, first)
    u = float(ours.sum())
    a12 = u / (m * n)
    delta = 2 * a12 - 1
    if min(m, n) < LEAST:
        reason = f"n = {min(m, n)}, a test needs {LEAST}"
        return Test(MANN_WHITNEY, None, None, a12, delta, reason, LEAST)
    if m + n <= MOST_EXACT:
        return Test(MANN_WHITNEY, u, _exact(first, second), a12, delta)
    if a12 in (0, 1):
        return Test(MANN_WHITNEY, u, _of_two(m, n), a12, delta)
    if first[0] == first[-1] == second[0] == second[-1]:
        return Test(MANN_WHITNEY, u, 1.0, a12, delta)
    statistic, p = _brunner_munzel(ours, theirs)
    return Test(BRUNNER_MUNZEL, statistic, p, a12, delta)


def _of_two(m: int, n: int) -> float:
    """Return the share of two among all choices of m of m + n; 0 where it is too small for a number."""
    return min(1.0, 2 * math.exp(math.lgamma(m + 1) + math.lgamma(n + 1) - math.lgamma(m + n + 1)))


def _below(values: Floats, others: Floats) -> Floats:
    """Return for each value how many of the others are smaller, equal ones counting half; both ascending."""
    import numpy as np

    under, upto = (np.searchsorted(others, values, side=side) for side in ("left", "right"))
    found: Floats = (under + upto) / 2
    return found


def _brunner_munzel(ours: Floats, theirs: Floats) -> tuple[float, float]:
    """Return W, positive where a is larger, and its p, from the counts of ``_below``.

    SciPy's ``brunnermunzel(b, a)``, without sorting anew, which takes most of its time.
    """
    import numpy as np
    from scipy.special import stdtr

    m, n = len(ours), len(theirs)
    left, right = m * float(np.var(ours, ddof=1)), n * float(np.var(theirs, ddof=1))
    statistic = (float(ours.mean()) / n - 0.5) * m * n / math.sqrt(left + right)
    freedom = (left + right) ** 2 / (left**2 / (m - 1) + right**2 / (n - 1))
    return statistic, min(1.0, 2 * float(stdtr(freedom, -abs(statistic))))


def _exact(first: Floats, second: Floats) -> float:
    """Return the share of all choices of m of the ranks whose sum is as far out, doubled for both sides.

    SciPy has it without ties only; here choices are counted by their sum of doubled ranks, so mid-ranks are
    whole. Without ties it is SciPy's p.
    """
    import numpy as np
    from scipy.stats import rankdata

    m = len(first)
    doubled = np.rint(2 * rankdata(np.concatenate([first, second]))).astype(np.intp)
    total = int(np.sort(doubled)[-m:].sum())
    ways = np.zeros((m + 1, total + 1))
    ways[0, 0] = 1
    for rank in doubled.tolist():
        ways[1:, rank:] += ways[:-1, : total + 1 - rank].copy()
    seen = int(doubled[:m].sum())
    below, above = ways[m, : seen + 1].sum(), ways[m, seen:].sum()
    return float(min(1.0, 2 * min(below, above) / ways[m].sum()))


def kruskal(groups: Sequence[Samples]) -> GroupTest:
    """Return the Kruskal-Wallis test over several samples; H = 0 and p = 1 where all values are equal.

    As SciPy has it, which sorts three times.

    Raises: ValueError where there are fewer than two groups, and as ``five_numbers``.
    Source: Kruskal & Wallis (1952).
    """
    import numpy as np
    from scipy.special import chdtrc

    if len(groups) < 2:
        raise ValueError(f"expected at least two groups, got {len(groups)}")
    samples = [finite(group) for group in groups]
    sizes = [len(sample) for sample in samples]
    if min(sizes) < LEAST:
        return GroupTest(KRUSKAL, None, None, f"n = {min(sizes)}, a test needs {LEAST}", LEAST)
    every = Sample.of(np.concatenate(samples))
    n = len(every)
    ties = np.diff(np.flatnonzero(np.concatenate([[True], every.ordered[1:] > every.ordered[:-1], [True]])))
    if len(ties) == 1:
        return GroupTest(KRUSKAL, 0.0, 1.0)
    sums = np.add.reduceat(every.ranks(), np.cumsum([0, *sizes[:-1]]))
    spread = 12 / (n * (n + 1)) * float((sums**2 / sizes).sum()) - 3 * (n + 1)
    tied = float((ties.astype(np.float64) ** 3 - ties).sum()) / (float(n) ** 3 - n)
    h = max(0.0, spread / (1 - tied))
    return GroupTest(KRUSKAL, h, float(chdtrc(len(groups) - 1, h)))


def holm(ps: Sequence[float]) -> tuple[float, ...]:
    """Return the p-values adjusted for being one family, in the given order.

    Raises: ValueError where one is not between 0 and 1.
    Source: Holm (1979), "A Simple Sequentially Rejective Multiple Test Procedure".
    """
    if not all(0 <= p <= 1 for p in ps):
        raise ValueError(f"expected p-values between 0 and 1, got {list(ps)}")
    adjusted = [0.0] * len(ps)
    largest = 0.0
    for passed, index in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        largest = max(largest, min(1.0, (len(ps) - passed) * ps[index]))
        adjusted[index] = largest
    return tuple(adjusted)
