"""The values of one quantity in one condition -> a row of the summary, and what in it asks for a look."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from vmvc import stats
from vmvc.nesting import Nested, spread_of
from vmvc.plan import Condition
from vmvc.records import FindingRecord
from vmvc.records_journal import QuantityRecord
from vmvc.records_summary import SummaryRow

SERIOUS: Final = {
    "slow-first": "raise trials.warmup",
    "drift": "look for what changed on the host during the run: temperature, caches, a filling disk",
    "bimodal": "look at the points, and for what tells the two heaps apart",
}
"""Flags that are warnings, with their remedies; the others are worth knowing."""
_REMEDY: Final = "look at the points in measurements.csv"


@dataclass(slots=True)
class Cell:
    """What the journal says of one quantity in one condition, warm-ups left out.

    ``values`` and the ``blocks`` they stand in, in the order of the trials; ``ended``: trials that were to
    give a value, failed ones among them; ``absent`` and ``failures``: reasons, with their counts.
    ``nested``: the iterations that values are made of.
    """

    values: array[float] = field(default_factory=lambda: array("d"))
    blocks: array[int] = field(default_factory=lambda: array("q"))
    resolution: float | None = None
    ended: int = 0
    absent: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    nested: list[Nested] = field(default_factory=list)
    _sample: stats.Sample | None = None

    @property
    def sample(self) -> stats.Sample:
        """The values, sorted when they are first asked for; none may be added after that."""
        if self._sample is None:
            self._sample = stats.Sample.of(self.values)
        return self._sample


def row_of(
    condition: Condition, quantity: QuantityRecord, cell: Cell, planned: int, *, ruled: bool = False
) -> SummaryRow:
    """Return the statistics of a cell; ``planned``: its trials, or the most of them where it is ``ruled``."""
    row = SummaryRow(
        backend=condition.backend,
        condition=condition.id,
        factors=condition.factors,
        metric=quantity.metric,
        quantity=quantity.quantity,
        unit=quantity.unit,
        better=quantity.better,
        n=len(cell.values),
        failed=cell.failures.total(),
        planned=planned,
        reason=_missing(cell, planned, ruled),
    )
    changes: dict[str, object] = {}
    failed = stats.success_rate(cell.failures.total(), cell.ended).interval
    if failed is not None:
        changes |= {"failed_low": failed[0], "failed_high": failed[1]}
    if cell.values:
        changes |= _numbers(cell, quantity)
    return row.model_copy(update=changes)


def _missing(cell: Cell, planned: int, ruled: bool) -> str:
    counts = [*cell.failures.most_common(), *cell.absent.most_common()]
    missing = "; ".join(f"{times} of {planned}: {reason}" for reason, times in counts)
    rest = planned - len(cell.values) - cell.failures.total() - cell.absent.total()
    if rest > 0 and not missing:
        return f"{rest} of {'at most ' if ruled else ''}{planned}: not measured yet"
    return missing


def _numbers(cell: Cell, quantity: QuantityRecord) -> dict[str, object]:
    late = cell.resolution or 0.0
    found = stats.describe(cell.sample, resolution=late, better=quantity.better)
    five = found.five
    changes: dict[str, object] = {
        "median": five.median,
        "q1": five.q1,
        "q3": five.q3,
        "min": five.min,
        "max": five.max,
        "mean": found.mean,
        "sd": found.sd,
        "needs": found.median.needs,
        "resolution": cell.resolution,
        "outliers": found.outliers,
        "lag1": found.lag,
        "flags": found.flags,
    }
    changes |= spread_of(cell.nested) if len(cell.nested) == len(cell.values) else {}
    if found.tau is not None:
        changes["tau"], changes["tau_p"] = found.tau
    changes["low"], changes["high"] = _ends(found.median, late, five.min)
    for p, tail in found.tails.items():
        name = f"p{round(p * 100)}"
        changes[name] = tail.value
        changes[f"{name}_low"], changes[f"{name}_high"] = _ends(tail, late, five.min)
    return changes


def _ends(estimate: stats.Estimate, resolution: float, smallest: float) -> tuple[float | None, float | None]:
    """Return an interval's ends, widened by the resolution; what is never negative stays so."""
    if estimate.interval is None:
        return None, None
    low, high = stats.widen(estimate.interval, resolution)
    return max(low, 0.0) if smallest >= 0 else low, high


def flagged(rows: Iterable[SummaryRow]) -> Iterator[FindingRecord]:
    """Yield one finding for each flag of a condition, naming the quantities that it was raised on."""
    raised: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for flag in row.flags:
            raised.setdefault((row.condition, flag), []).append(f"{row.metric}.{row.quantity}")
    for (condition, flag), names in raised.items():
        what = ", ".join(names) if len(names) <= 4 else f"{len(names)} quantities"
        yield FindingRecord(
            code=f"flag.{flag}",
            severity="warning" if flag in SERIOUS else "info",
            what=f"{condition}: {what}: {stats.FLAGS[flag]}",
            remedy=SERIOUS.get(flag, _REMEDY),
        )
