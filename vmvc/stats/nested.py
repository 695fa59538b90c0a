"""Iterations nested in executions, in builds... -> where the variance arises and where to repeat.

Levels count from 1, the innermost (iterations). Names and formulas are those of Kalibera & Jones (2013),
"Rigorous Benchmarking in Reasonable Time", and (2012), "Quantifying Performance Changes with Effect Size
Confidence Intervals"; T_i^2 = S_i^2 - S_{i-1}^2 / r_{i-1}, as the erratum has it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vmvc.stats.interval import Estimate, too_few
from vmvc.stats.sample import finite

if TYPE_CHECKING:
    from vmvc.stats.sample import Floats

METHOD: Final = "t over the outermost level"


@dataclass(frozen=True, slots=True)
class Components:
    """The mean, and per level from the innermost outwards: repetitions, S^2 and T^2.

    ``spread`` (S_i^2) is the variance of the means at a level within the next one; ``own`` (T_i^2) the part
    that arises at this level and not below it, 0 where the estimate is negative: then repeating there, rather
    than below, gains nothing.
    """

    mean: float
    repetitions: tuple[int, ...]
    spread: tuple[float, ...]
    own: tuple[float, ...]


def components(samples: Any) -> Components:
    """Split the variance of nested samples: ``samples[build][execution][iteration]``, any depth from 1.

    Raises: ValueError where the nesting is uneven, a level holds one repetition only, or one is not finite.
    """
    import numpy as np

    values = _nested(samples)
    counts = values.shape[::-1]
    if min(counts) < 2:
        raise ValueError(f"expected at least two repetitions at every level, got {counts}")
    spread: list[float] = []
    own: list[float] = []
    means = values
    for level in range(len(counts)):
        spread.append(float(np.mean(np.var(means, axis=-1, ddof=1))))
        rest = spread[level - 1] / counts[level - 1] if level else 0.0
        own.append(max(0.0, spread[level] - rest))
        means = means.mean(axis=-1)
    return Components(float(np.mean(values)), tuple(counts), tuple(spread), tuple(own))


def nested_mean(samples: Any, confidence: float = 0.95) -> Estimate:
    """Return the mean of nested samples; its interval stands on the means of the outermost level alone.

    Raises: ValueError where the nesting is uneven or one is not finite.
    """
    import numpy as np
    from scipy.special import stdtrit

    values = _nested(samples)
    n = len(values)
    tops = values.reshape(n, -1).mean(axis=1)
    mean = float(tops.mean())
    if n < 2:
        return too_few(mean, n, 2, METHOD)
    reach = float(stdtrit(n - 1, (1 + confidence) / 2)) * float(np.std(tops, ddof=1)) / math.sqrt(n)
    return Estimate(mean, (mean - reach, mean + reach), n, METHOD)


def repetitions(own: Sequence[float], costs: Sequence[float]) -> tuple[int | None, ...]:
    """Return how often to repeat at each level but the outermost for the narrowest interval in a given time.

    ``own``: T_i^2 of a pilot, from the innermost level outwards; ``costs``: seconds that one more repetition
    at that level adds by itself (an iteration; the start of an execution; a build). The outermost level is
    repeated until the interval is narrow enough. ``None``: as often as there is time, since the next level
    adds no variance.

    Raises: ValueError where there is not one cost for each level, or one is not positive.
    Source: Kalibera & Jones (2013), r_i = ceil(sqrt(c_{i+1} / c_i * T_i^2 / T_{i+1}^2)).
    """
    if len(own) != len(costs) or not own or min(costs) <= 0:
        raise ValueError(f"expected one positive cost for each of {len(own)} levels, got {list(costs)}")
    advice: list[int | None] = []
    for level in range(len(own) - 1):
        if own[level] <= 0:
            advice.append(1)
        elif own[level + 1] <= 0:
            advice.append(None)
        else:
            share = costs[level + 1] / costs[level] * own[level] / own[level + 1]
            advice.append(max(1, math.ceil(math.sqrt(share) - 1e-9)))
    return tuple(advice)


def _nested(samples: Any) -> Floats:
    import numpy as np

    try:
        values = np.asarray(samples, dtype=np.float64)
    except ValueError as error:
        raise ValueError("expected as many repetitions in each group of a level") from error
    finite(values.ravel().tolist())
    return values
