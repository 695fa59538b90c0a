"""A summary and its claims -> the answer in plain sentences, and the quantities that stand for the rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from vmvc.records import Summary
from vmvc.report.material import JsonMap, Material, mapping
from vmvc.report.plain import clean
from vmvc.report.view import Cell, Condition, Verdict
from vmvc.wording import listed

FIRST: Final = (
    *("startup.ready", "shutdown.gone", "memory.pss", "memory.host_drop", "disk.unique", "disk.allocated"),
)
"""Quantities that people ask for first, where they are measured."""
WORDS: Final = {
    "startup.ready": "Ready to answer after",
    "shutdown.gone": "Gone after the request to stop in",
    "memory.pss": "Own processes' proportional share of memory",
    "memory.host_drop": "Less memory available on the host",
    "disk.unique": "Disk that only the instance takes",
    "disk.allocated": "Disk in use in all",
}
"""Quantity -> the beginning of a sentence about it."""
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
    """Return one verdict a claim: from claims.json, else the claims of run.json as not judged."""
    if stuff.claims is not None:
        return tuple(_verdict(one) for one in stuff.claims)
    stored = mapping(stuff.about.get("experiment")).get("claims")
    return tuple(
        Verdict(
            _text(one.get("id")), _text(one.get("says")), "not judged", "No verdict is stored with this run."
        )
        for one in (stored if isinstance(stored, list) else ())
        if isinstance(one, dict)
    )


def _verdict(claim: JsonMap) -> Verdict:
    spoilers = claim.get("spoilers")
    return Verdict(
        id=_text(claim.get("id")),
        says=_text(claim.get("says")),
        verdict=_text(claim.get("verdict")) or "not judged",
        sentence=_text(claim.get("sentence")),
        spoilers=tuple(_spoiler(one) for one in (spoilers if isinstance(spoilers, list) else ())),
    )


def _spoiler(one: Any) -> str:
    return _text(one.get("what") or one.get("code")) if isinstance(one, dict) else _text(one)


def _text(value: object) -> str:
    return "" if value is None else clean(str(value))


def sentences(
    summary: Summary,
    cells: Mapping[tuple[str, str], Cell],
    conditions: Sequence[Condition],
    keys: Sequence[str],
) -> tuple[str, ...]:
    """Return a sentence a headline quantity: each condition's median with its interval."""
    return tuple(_sentences(cells, conditions, keys)) if len(conditions) <= MOST_NAMED else ()


def _sentences(
    cells: Mapping[tuple[str, str], Cell], conditions: Sequence[Condition], keys: Sequence[str]
) -> Iterator[str]:
    first = {key.partition(".")[0]: key for key in reversed(keys)}
    for key in reversed(first.values()):
        known = [cell for one in conditions if (cell := cells[one.id, key]).row.n]
        if known:
            yield f"{WORDS.get(key, key)}: {listed([_named(cell) for cell in known], 'and')}."


def _named(cell: Cell) -> str:
    return f"{cell.label} {cell.median}" + (
        f" [{cell.interval}]" if cell.interval else f" (n = {cell.row.n})"
    )
