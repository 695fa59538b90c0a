"""One sample -> its five numbers, mean, deviation and outliers; the order of the values does not matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Samples = Sequence[float] | Floats
    """Finite values, in any order unless a function says otherwise."""

OUTLIER: Final = 3.5
"""Modified z-score beyond which a sample is flagged. Source: Iglewicz & Hoaglin (1993), "How to Detect and
Handle Outliers"."""

LARGEST: Final = 1e150
"""Samples beyond this are refused: squares of theirs would not fit a number."""


@dataclass(frozen=True, slots=True)
class FiveNumbers:
    """Smallest and largest sample, median and quartiles."""

    min: float
    q1: float
    median: float
    q3: float
    max: float


def five_numbers(samples: Samples) -> FiveNumbers:
    """Return the five numbers; quartiles interpolate linearly between order statistics.

    Raises: ValueError where there is no sample, or one is not finite.
    Source: R-7 in Hyndman & Fan (1996), "Sample Quantiles in Statistical Packages": the default of NumPy,
    pandas, R and spreadsheets, so that anybody finds the same values again in the CSV.
    """
    import numpy as np

    return FiveNumbers(*np.quantile(finite(samples), (0, 0.25, 0.5, 0.75, 1), method="linear").tolist())


def mean_and_sd(samples: Samples) -> tuple[float, float | None]:
    """Return mean and sample standard deviation (n - 1; ``None`` for one sample), in two passes."""
    import numpy as np

    values = finite(samples)
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def outliers(samples: Samples) -> tuple[bool, ...]:
    """Flag the samples whose modified z-score is beyond ``OUTLIER``; flagged samples stay in.

    The score is 0.6745 (x - median) / MAD. Where half of the samples or more are equal and the MAD is 0, the
    mean absolute deviation takes its place, as (x - median) / (1.2533 MeanAD); where all are equal, none is
    flagged.

    Source: Iglewicz & Hoaglin (1993); the substitute: IBM SPSS, "Modified z score".
    """
    return tuple(far(finite(samples)).tolist())


def far(values: Floats, median: float | None = None) -> NDArray[np.bool_]:
    """Return which values are outliers; the values in any order, their median where it is known."""
    import numpy as np

    distances = np.abs(values - (np.median(values) if median is None else median))
    scale = np.median(distances) / 0.6745 or np.mean(distances) * np.sqrt(np.pi / 2)
    found: NDArray[np.bool_] = distances > OUTLIER * scale
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Finite values as they were taken, and in ascending order: sorted once for all that is said of them.

    ``order``: places in ``values`` of the ``ordered`` ones.
    """

    values: Floats
    order: NDArray[np.intp]
    ordered: Floats

    @classmethod
    def of(cls, samples: Samples) -> Sample:
        """Raises: ValueError as ``finite``."""
        import numpy as np

        values = finite(samples)
        order = np.argsort(values)
        return cls(values, order, values[order])

    def __len__(self) -> int:
        return len(self.values)

    def ranks(self) -> Floats:
        """Return the rank of each of ``values``, from 1; equal ones share their mean rank."""
        import numpy as np

        first = np.concatenate([[True], self.ordered[1:] > self.ordered[:-1]])
        ranks = np.empty(len(self))
        if first.all():
            ranks[self.order] = np.arange(1, len(self) + 1)
        else:
            counts = np.diff(np.append(np.flatnonzero(first), len(self)))
            ranks[self.order] = np.repeat(np.cumsum(counts) - (counts - 1) / 2, counts)
        return ranks


def finite(samples: Samples) -> Floats:
    """Return the samples as an array.

    Raises: ValueError where there is none, or one is not finite or beyond ``LARGEST``.
    """
    import numpy as np

    values = np.asarray(samples, dtype=np.float64)
    if values.size == 0 or not (np.abs(values) <= LARGEST).all():
        raise ValueError(f"expected finite samples and at least one, got {values.size}")
    return values
