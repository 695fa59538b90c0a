"""The folders of a reference and of other runs -> a verdict on every quantity and condition they share."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from vmvc import likeness, runs, stats
from vmvc.attempts import stops_of
from vmvc.cells import Cells, cells_of
from vmvc.conditions import conditions_of
from vmvc.errors import Fault, InputError, ResultsError
from vmvc.plan import Condition
from vmvc.records_compare import (
    ComparedRow,
    ComparedRun,
    ComparedRuns,
    ComparedWith,
    Unmatched,
    Verdict,
)
from vmvc.records_journal import QuantityRecord, RunRecord
from vmvc.rows import Cell

TOLERANCE: Final = 0.05
SIGNIFICANT: Final = 0.05
"""p by Holm below which a difference is told."""

Way = Literal["lower", "higher", "same", "cannot tell"]


@dataclass(frozen=True, slots=True)
class Side:
    """A run that is compared: what it planned and measured, and what run.json says (empty: nothing)."""

    folder: Path
    cells: Cells
    conditions: Mapping[str, Condition]
    quantities: Mapping[str, QuantityRecord]
    facts: likeness.Facts
    notes: tuple[str, ...]

    @property
    def head(self) -> RunRecord:
        return self.cells.head


def compare(folders: Sequence[Path], tolerance: float = TOLERANCE) -> ComparedRuns:
    """Compare each run with the first; ``tolerance``: share by which a median may differ and be the same.

    Conditions are matched by their ids: backend and levels. Samples of two runs are never paired.

    Raises: ResultsError where a run cannot be read, or has nothing in common with the reference; InputError
    where the same run is given twice.
    """
    sides = [read(folder) for folder in folders]
    _refuse_same(sides)
    reference, *others = sides
    return ComparedRuns(
        reference=ComparedWith(**_name(reference)),
        tolerance=tolerance,
        runs=tuple(_compared(reference, other, tolerance) for other in others),
    )


def read(folder: Path) -> Side:
    """Read what is compared of a run; only the journal is needed.

    Raises: ResultsError.
    """
    path = folder / "journal.jsonl"
    cells = cells_of(path)
    notes = []
    done = cells.outcomes.total()
    planned = cells.head.trials - sum(stop.skipped for stop in stops_of(path))
    if done < planned:
        notes.append(f"{folder}: the run is not finished: {done} of {planned} trials are recorded")
    facts: likeness.Facts = {}
    try:
        facts = runs.facts_of(folder)
    except ResultsError as error:
        notes.append(f"{error.what}: its environment, parameters and emulation are not known")
    return Side(
        folder,
        cells,
        {one.id: one for one in conditions_of(cells.head)},
        {f"{one.metric}.{one.quantity}": one for one in cells.head.quantities},
        facts,
        tuple(notes),
    )


def worse(compared: ComparedRuns) -> int:
    """Return how many rows are worse than the reference by more than the tolerance."""
    return sum(row.effect == "worse" for run in compared.runs for row in run.rows)


def _name(side: Side) -> dict[str, str]:
    return {"run": side.head.run, "name": side.head.name, "folder": str(side.folder)}


def _refuse_same(sides: Sequence[Side]) -> None:
    seen: dict[str, Side] = {}
    faults = []
    for side in sides:
        first = seen.setdefault(side.head.run, side)
        if first is not side:
            what = f"is the same run as {first.folder}: {side.head.run}"
            faults.append(Fault(what, str(side.folder), hint="name another run, or leave it out"))
    if faults:
        raise InputError(faults)


def _compared(reference: Side, other: Side, tolerance: float) -> ComparedRun:
    rows = _corrected(list(_rows(reference, other, tolerance)))
    unmatched = tuple(_unmatched(reference, other))
    if not rows:
        reasons = "; ".join(dict.fromkeys(one.reason for one in unmatched[:3]))
        raise ResultsError(
            f"{reference.folder} and {other.folder} have nothing in common: no quantity of one condition has "
            f"values in both{f' ({reasons})' if reasons else ''}",
            hint="compare runs with the same backends, factor levels and metrics",
        )
    notes = [*reference.notes, *other.notes]
    if reference.head.name != other.head.name:
        notes.append(f"the experiments differ: {reference.head.name} and {other.head.name}")
    elif reference.head.experiment_sha256 != other.head.experiment_sha256:
        notes.append("experiment.yaml differs between the runs")
    return ComparedRun(
        **_name(other),
        family=sum(row.p is not None for row in rows),
        rows=tuple(rows),
        unmatched=unmatched,
        differences=tuple(likeness.differences(reference.facts, other.facts)),
        notes=tuple(notes),
    )


# --- rows -------------------------------------------------------------------------------------------------


def _rows(reference: Side, other: Side, tolerance: float) -> Iterator[ComparedRow]:
    theirs = other.quantities
    there = other.conditions
    for condition in reference.conditions.values():
        if condition.id not in there:
            continue
        flags = likeness.flags(reference.facts, other.facts, condition)
        for name, quantity in reference.quantities.items():
            if name not in theirs:
                continue
            cells = other.cells.find(condition, quantity), reference.cells.find(condition, quantity)
            if not all(len(cell.values) for cell in cells):
                continue
            row = _measured(condition, quantity, cells, flags)
            unlike = likeness.redefined((reference.head, other.head), (quantity, theirs[name]))
            if unlike:
                yield row.model_copy(update={"verdict": "unlike", "reason": unlike})
            else:
                yield _judged(row, cells, reference.head.seed, tolerance)


def _measured(
    condition: Condition, quantity: QuantityRecord, cells: tuple[Cell, Cell], flags: tuple[str, ...]
) -> ComparedRow:
    ours, base = cells
    return ComparedRow(
        condition=condition.id,
        metric=quantity.metric,
        quantity=quantity.quantity,
        unit=quantity.unit,
        better=quantity.better,
        n=len(ours.values),
        reference_n=len(base.values),
        median=stats.five_numbers(ours.values).median,
        reference_median=stats.five_numbers(base.values).median,
        verdict="cannot tell",
        flags=flags,
    )


def _judged(row: ComparedRow, cells: tuple[Cell, Cell], seed: int, tolerance: float) -> ComparedRow:
    ours, base = cells
    found = stats.contrast(
        ours.sample,
        base.sample,
        seed=zlib.crc32(f"{seed}/{row.condition}/{row.metric}.{row.quantity}".encode()),
        resolutions=(ours.resolution or 0.0, base.resolution or 0.0),
    )
    way, reason = _way(found, min(row.median, row.reference_median), tolerance)
    ratio_low, ratio_high = found.ratio.interval or (None, None)
    low, high = found.difference.interval or (None, None)
    return row.model_copy(
        update={
            "ratio": found.ratio.value,
            "ratio_low": ratio_low,
            "ratio_high": ratio_high,
            "difference": found.difference.value,
            "difference_low": low,
            "difference_high": high,
            "a12": found.test.a12,
            "delta": found.test.delta,
            "test": found.test.name if found.test.p is not None else "",
            "p": found.test.p,
            "verdict": _word(way, row),
            "effect": _effect(way, row),
            "reason": reason,
        }
    )


def _way(found: stats.Contrast, smallest: float, tolerance: float) -> tuple[Way, str]:
    """Return which way the run differs, by its intervals alone, and why that cannot be told."""
    if found.difference.interval is None:
        return "cannot tell", found.difference.reason
    if found.ratio.value is None:
        low, high = found.difference.interval
        if low == high == 0:
            return "same", ""
        if low > 0:
            return "higher", ""
        return ("lower", "") if high < 0 else ("cannot tell", found.ratio.reason)
    if found.ratio.interval is None:
        return "cannot tell", found.ratio.reason
    if smallest < 0:
        return "cannot tell", "a ratio of values below 0 says nothing"
    low, high = found.ratio.interval
    if low > 1 + tolerance:
        return "higher", ""
    if high < 1 - tolerance:
        return "lower", ""
    if low >= 1 - tolerance and high <= 1 + tolerance:
        return "same", ""
    return "cannot tell", "the interval holds ratios within the tolerance and beyond it"


def _word(way: Way, row: ComparedRow) -> Verdict:
    if row.unit != "s" or row.better != "lower" or way not in ("lower", "higher"):
        return way
    return "faster" if way == "lower" else "slower"


def _effect(way: Way, row: ComparedRow) -> str:
    if way not in ("lower", "higher") or row.better == "neutral":
        return ""
    return "better" if way == row.better else "worse"


def _corrected(rows: Sequence[ComparedRow]) -> list[ComparedRow]:
    """Return the rows with p by Holm over all of them; a difference that does not stand it is not told."""
    tested = [row.p for row in rows if row.p is not None]
    adjusted = iter(stats.holm(tested))
    found = []
    for row in rows:
        if row.p is None:
            found.append(row)
            continue
        p = next(adjusted)
        changes: dict[str, object] = {"p_adjusted": p}
        if row.verdict not in ("same", "cannot tell") and p >= SIGNIFICANT:
            changes |= {
                "verdict": "cannot tell",
                "effect": "",
                "reason": f"p is {p:.2g} by Holm over {len(tested)} tests",
            }
        found.append(row.model_copy(update=changes))
    return found


# --- what only one has ------------------------------------------------------------------------------------


def _unmatched(reference: Side, other: Side) -> Iterator[Unmatched]:
    for has, lacks in ((reference, other), (other, reference)):
        for name in has.conditions:
            if name not in lacks.conditions:
                yield Unmatched(condition=name, reason=f"{lacks.folder} has no such condition")
        for name in has.quantities:
            if name not in lacks.quantities:
                yield Unmatched(quantity=name, reason=f"{lacks.folder} does not measure it")
    for condition in reference.conditions.values():
        if condition.id not in other.conditions:
            continue
        for name, quantity in reference.quantities.items():
            if name in other.quantities:
                empty = list(_empty((reference, other), condition, quantity))
                if empty:
                    yield Unmatched(condition=condition.id, quantity=name, reason="; ".join(empty))


def _empty(sides: Iterable[Side], condition: Condition, quantity: QuantityRecord) -> Iterator[str]:
    for side in sides:
        cell = side.cells.find(condition, quantity)
        if not len(cell.values):
            counts = [*cell.failures.most_common(1), *cell.absent.most_common(1)]
            why = "; ".join(f"{reason} ({times} trials)" for reason, times in counts) or "not measured yet"
            yield f"{side.folder} has no values: {why}"
