"""The cells of a run -> every condition against the baseline, and every quantity across a factor's levels."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from vmvc import stats
from vmvc.plan import Condition, show_level
from vmvc.records import FindingRecord
from vmvc.records_journal import QuantityRecord
from vmvc.records_summary import Comparison, Trend
from vmvc.rows import Cell
from vmvc.spec import Level
from vmvc.units import measure

BEATEN: Final = 0.03
"""How much better than its host a guest may look by noise."""

Find = Callable[[Condition, QuantityRecord], Cell]
"""Returns the cell of a quantity in a condition, an empty one where there is nothing."""


def comparisons(
    conditions: Sequence[Condition],
    quantities: Iterable[QuantityRecord],
    find: Find,
    baseline: str,
    seed: int,
) -> Iterator[Comparison]:
    """Yield each quantity of each condition against that of the baseline at the same levels.

    ``baseline`` is a backend. Of its conditions the first counts that agrees on every factor that both have,
    a backend's own options aside; where there is none, the condition is left out. The family of Holm's
    correction is all comparisons of one quantity.
    """
    pairs = list(_pairs(conditions, baseline))
    for quantity in quantities:
        found = [
            _compare(one, other, quantity, (find(one, quantity), find(other, quantity)), seed)
            for one, other in pairs
        ]
        adjusted = iter(stats.holm([one.p for one in found if one.p is not None]))
        family = sum(one.p is not None for one in found)
        for one in found:
            if one.p is None:
                yield one
            else:
                yield one.model_copy(update={"p_adjusted": next(adjusted), "family": family})


def _pairs(conditions: Sequence[Condition], baseline: str) -> Iterator[tuple[Condition, Condition]]:
    """Yield each condition with its partner, other than itself; found by their levels, not by search."""
    bases = [condition for condition in conditions if condition.backend == baseline]
    shapes = list(dict.fromkeys(_shared(base) for base in bases))
    tables: dict[tuple[str, ...], dict[tuple[str, ...], Condition]] = {}
    for condition in conditions:
        for shape in shapes:
            both = tuple(path for path in _shared(condition) if path in shape)
            if both not in tables:
                tables[both] = {_levels(base, both): base for base in reversed(bases)}
            partner = tables[both].get(_levels(condition, both))
            if partner is not None:
                if partner.number != condition.number:
                    yield condition, partner
                break


def _shared(condition: Condition) -> tuple[str, ...]:
    """Return the factors that are not a backend's own options."""
    return tuple(path for path in condition.factors if not path.startswith("backends."))


def _levels(condition: Condition, paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(show_level(condition.factors[path]) if path in condition.factors else "" for path in paths)


def _compare(
    condition: Condition, baseline: Condition, quantity: QuantityRecord, cells: tuple[Cell, Cell], seed: int
) -> Comparison:
    one, other = cells
    base = Comparison(
        metric=quantity.metric,
        quantity=quantity.quantity,
        unit=quantity.unit,
        better=quantity.better,
        condition=condition.id,
        baseline=baseline.id,
        n=len(one.values),
        baseline_n=len(other.values),
    )
    if quantity.own_clock and condition.backend != baseline.backend:
        return base.model_copy(update={"reason": "the clocks of two guests do not compare"})
    empty = [who.id for who, cell in zip((condition, baseline), cells, strict=True) if not cell.values]
    if empty:
        reason = f"no values of {' and '.join(empty)}"
        return base.model_copy(update={"reason": reason, "needs": stats.least_n()})
    found = stats.contrast(
        one.sample,
        other.sample,
        seed=zlib.crc32(f"{seed}/{condition.id}/{quantity.metric}.{quantity.quantity}".encode()),
        blocks=(one.blocks, other.blocks),
        resolutions=(one.resolution or 0.0, other.resolution or 0.0),
    )
    ratio, difference, test = found.ratio, found.difference, found.test
    made = test.p is not None
    reasons = dict.fromkeys(reason for reason in (difference.reason, test.reason) if reason)
    low, high = difference.interval or (None, None)
    ratio_low, ratio_high = ratio.interval or (None, None)
    return base.model_copy(
        update={
            "ratio": ratio.value,
            "ratio_low": ratio_low,
            "ratio_high": ratio_high,
            "ratio_reason": ratio.reason,
            "difference": difference.value,
            "difference_low": low,
            "difference_high": high,
            "paired": difference.method == stats.IN_BLOCKS,
            "a12": test.a12,
            "delta": test.delta,
            "test": test.name if made else "",
            "statistic": test.statistic,
            "p": test.p,
            "needs": difference.needs,
            "reason": "; ".join(reasons),
        }
    )


# --- trends -----------------------------------------------------------------------------------------------


def trends(
    conditions: Iterable[Condition], quantities: Iterable[QuantityRecord], find: Find
) -> Iterator[Trend]:
    """Yield each quantity across the levels of each factor that has several, everything else held.

    The family of Holm's correction is all trends of one quantity.
    """
    lines = [line for line in _lines(conditions) if len(line[1]) > 1]
    for quantity in quantities:
        found = [_trend(path, line, quantity, find) for path, line in lines]
        adjusted = iter(stats.holm([one.p for one in found if one.p is not None]))
        for one in found:
            yield one if one.p is None else one.model_copy(update={"p_adjusted": next(adjusted)})


def _lines(conditions: Iterable[Condition]) -> list[tuple[str, list[Condition]]]:
    """Return factors with conditions that differ in nothing else, in file order."""
    lines: dict[tuple[str, ...], list[Condition]] = {}
    for condition in conditions:
        for path in condition.factors:
            others = [one for one in condition.factors if one != path]
            key = (path, condition.backend, *others, *_levels(condition, others))
            lines.setdefault(key, []).append(condition)
    return [(key[0], line) for key, line in lines.items()]


def _trend(path: str, line: Sequence[Condition], quantity: QuantityRecord, find: Find) -> Trend:
    cells = [(condition.factors[path], find(condition, quantity).values) for condition in line]
    measured = [(level, values) for level, values in cells if len(values)]
    first = line[0]
    base = Trend(
        metric=quantity.metric,
        quantity=quantity.quantity,
        unit=quantity.unit,
        factor=path,
        backend=first.backend,
        factors={one: level for one, level in first.factors.items() if one != path},
        levels=tuple(level for level, _ in measured),
        n=tuple(len(values) for _, values in measured),
    )
    if len(measured) < 2:
        return base.model_copy(update={"reason": "values at fewer than two levels"})
    test = stats.kruskal([values for _, values in measured])
    made = test.p is not None
    changes: dict[str, object] = {"statistic": test.statistic, "p": test.p, "reason": test.reason}
    if made:
        changes["test"] = test.name
    return base.model_copy(update=changes | _slope(measured, test.reason))


def _slope(measured: Sequence[tuple[Level, Sequence[float]]], reason: str) -> dict[str, object]:
    numbers = [measure(level) for level, _ in measured]
    units = {number[1] for number in numbers if number is not None}
    if None in numbers or len(units) != 1:
        return {}
    x, y = array("d"), array("d")
    for number, (_, values) in zip(numbers, measured, strict=True):
        assert number is not None
        x.extend(array("d", [number[0]]) * len(values))
        y.extend(values)
    found, intercept = stats.slope(x, y)
    low, high = found.interval or (None, None)
    return {
        "slope": found.value,
        "slope_low": low,
        "slope_high": high,
        "intercept": intercept,
        "level_unit": units.pop(),
        "reason": "; ".join(dict.fromkeys(one for one in (reason, found.reason) if one)),
    }


def beaten_hosts(
    compared: Iterable[Comparison], quantities: Iterable[QuantityRecord]
) -> Iterator[FindingRecord]:
    """Yield a finding for each condition that is better than the bare host where none can be.

    Source: a guest that is more than 3% faster than its host has not done the same work (a missing flush, a
    cache of the host's).
    """
    best = {(one.metric, one.quantity) for one in quantities if one.host_best}
    for one in compared:
        if one.ratio is None or (one.metric, one.quantity) not in best or one.ratio <= 0:
            continue
        gain = one.ratio if one.better == "higher" else 1 / one.ratio
        if gain > 1 + BEATEN:
            yield FindingRecord(
                code="workload.faster-than-host",
                severity="warning",
                what=f"{one.condition}: {one.metric}.{one.quantity} is {gain - 1:.0%} better than on the "
                f"bare host ({one.baseline}), n = {one.n} and {one.baseline_n}",
                remedy="see whether both did the same work: a flush that is left out, a cache of the host's, "
                "another number of CPUs",
            )
