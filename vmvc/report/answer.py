"""A summary and its claims -> the answer in plain sentences, and the quantities that stand for the rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from vmvc.report.figures import Cell, Ratio
from vmvc.report.material import Material, mapping
from vmvc.report.plain import clean
from vmvc.report.view import Condition, Verdict

FIRST: Final = (
    *("startup.ready", "shutdown.gone", "memory.pss", "memory.host_drop", "disk.unique", "disk.allocated"),
    "density.memory_slope",
)
"""Quantities that people ask for first, where they are measured."""
WORDS: Final = {
    "startup.ready": "Ready to answer after",
    "shutdown.gone": "Gone after the request to stop in",
    "memory.pss": "Own processes' proportional share of memory",
    "memory.host_drop": "Less memory available on the host",
    "disk.unique": "Disk that only the instance takes",
    "disk.allocated": "Disk in use in all",
    "density.memory_slope": "Memory that each further instance of a fleet takes",
}
"""Quantity -> the beginning of a sentence about it."""
UNJUDGED: Final = "The journal of this run holds no claims, so no verdict stands on it."
MOST_NAMED: Final = 6
"""Conditions that a sentence can name and still be read."""


def headlines(keys: Sequence[str], cells: Iterable[Cell]) -> tuple[str, ...]:
    """Return the quantities that stand for the run: those asked for first, and one of any other metric."""
    known = [key for key in FIRST if key in keys]
    covered = {key.partition(".")[0] for key in known}
    measured = {cell.key for cell in cells if cell.row.n}
    for key in keys:
        metric = key.partition(".")[0]
        if metric not in covered and (key in measured or not measured):
            covered.add(metric)
            known.append(key)
    return tuple(known)


def verdicts(stuff: Material) -> tuple[Verdict, ...]:
    """Return one verdict a claim: the journal's; else the claims that an old run stored, as not judged."""
    if stuff.verdicts:
        return tuple(
            Verdict(
                one.id,
                clean(one.says),
                one.verdict,
                clean(one.sentence),
                tuple(clean(finding.what) for finding in one.spoilers),
            )
            for one in stuff.verdicts
        )
    stored = mapping(stuff.about.get("experiment")).get("claims")
    return tuple(
        Verdict(_text(one.get("id")), _text(one.get("says")), "not judged", UNJUDGED)
        for one in (stored if isinstance(stored, list) else ())
        if isinstance(one, dict)
    )


def _text(value: object) -> str:
    return "" if value is None else clean(str(value))


def sentences(
    cells: Mapping[tuple[str, str], Cell],
    conditions: Sequence[Condition],
    keys: Sequence[str],
    ratios: Sequence[Ratio],
) -> tuple[str, ...]:
    """Return a sentence a metric: each condition's median with its interval, and ratios to the baseline."""
    if len(conditions) > MOST_NAMED:
        return ()
    known = {(one.row.condition, one.key): one for one in ratios}
    return tuple(_sentences(cells, conditions, keys, known))


def _sentences(
    cells: Mapping[tuple[str, str], Cell],
    conditions: Sequence[Condition],
    keys: Sequence[str],
    ratios: Mapping[tuple[str, str], Ratio],
) -> Iterator[str]:
    first = {key.partition(".")[0]: key for key in reversed(keys)}
    for key in reversed(first.values()):
        known = [cell for one in conditions if (cell := cells[one.id, key]).row.n]
        if known:
            yield f"{WORDS.get(key, key)}: {'; '.join(_named(cell, ratios) for cell in known)}."


def _named(cell: Cell, ratios: Mapping[tuple[str, str], Ratio]) -> str:
    ratio = ratios.get((cell.row.condition, cell.key))
    times = f", {ratio.ratio} times that of {ratio.baseline}" if ratio is not None and ratio.ratio else ""
    spread = f" [{cell.interval}]" if cell.interval else f" (n = {cell.row.n})"
    return f"{cell.label} {cell.median}{spread}{times}"
