"""What is known of a number -> its value with an interval, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A point with its interval.

    ``value`` is ``None`` where the point itself does not exist (a ratio to 0, a slope over one level).
    ``interval`` is ``None`` where none can be given; then ``reason`` says why, and ``needs`` is the number of
    samples (of each group) that would do, ``None`` where more samples would not help. ``n``: samples it
    stands on, the smaller group's for two.
    """

    value: float | None
    interval: Interval | None
    n: int
    method: str
    reason: str = ""
    needs: int | None = None


def widen(interval: Interval, resolution: float) -> Interval:
    """Make room for an instrument that reads late: a true value lies in [x - resolution, x] for a reading x.

    So no interval is narrower than the resolution.
    """
    return interval[0] - resolution, interval[1]


def too_few(value: float | None, n: int, needs: int, method: str) -> Estimate:
    """Return an estimate without an interval, which says how many samples would give one."""
    return Estimate(value, None, n, method, f"n = {n}, an interval needs {needs}", needs)
