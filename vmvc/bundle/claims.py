"""Verdicts -> the table for who evaluates an artefact: claim, command, expectation, tolerance."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Final

from vmvc.bundle.material import Material
from vmvc.sheet import SheetWriter, number
from vmvc.spec_claims import Bound, Claim, Limit
from vmvc.units import format_percent

COLUMNS: Final = (
    *("claim", "says", "command", "expected", "tolerance", "verdict"),
    *("value", "low", "high", "unit", "confidence", "n"),
)


def rows(stuff: Material) -> Iterator[dict[str, str]]:
    """Yield a row a claim; cells of figures are empty where there is none."""
    verdicts = {one.id: one for one in stuff.verdicts}
    for claim in stuff.head.claims:
        found = verdicts[claim.id]
        low, high = found.interval or (None, None)
        only = dict.fromkeys(condition.split(" ")[0] for condition in found.conditions)
        figures = {"value": found.value, "low": low, "high": high}
        yield {
            "claim": claim.id,
            "says": claim.says,
            "command": " ".join(["vmvc run BUNDLE", *(f"--only {name}" for name in only)]),
            "expected": found.sentence,
            "tolerance": tolerance(claim),
            "verdict": found.verdict,
            **{name: "" if one is None else number(one) for name, one in figures.items()},
            "unit": found.unit,
            "confidence": number(found.confidence),
            "n": str(found.n),
        }


def table_csv(stuff: Material) -> str:
    """Return the table as CSV; values in ``unit``."""
    text = io.StringIO()
    writer = SheetWriter(text)
    writer.row(COLUMNS)
    writer.rows([row[name] for name in COLUMNS] for row in rows(stuff))
    return text.getvalue()


def table_markdown(stuff: Material) -> str:
    """Return the table in Markdown, or the sentence that stands for an empty one."""
    lines = ["| claim | command | expected | tolerance |", "|---|---|---|---|"]
    for row in rows(stuff):
        cells = (f"{row['claim']}: {row['says']}", row["command"], row["expected"], row["tolerance"])
        lines.append("| " + " | ".join(map(cell, cells)) + " |")
    if len(lines) == 2:
        return (
            "The experiment states no claims. What to expect are the medians with their intervals in "
            "`run/report.md` and `run/summary.csv`.\n"
        )
    return "\n".join(lines) + "\n"


def cell(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    plain = "".join(one if one.isprintable() else " " for one in text)
    return "".join(f"\\{one}" if one in "\\`*_{}[]()#|~<>!" else one for one in " ".join(plain.split()))


def tolerance(claim: Claim) -> str:
    """Say by how much a repetition may differ and still agree."""
    interval = f"the whole {format_percent(claim.confidence)} interval"
    if claim.fact is not None:
        return f"none: {_limit(claim.fact.is_)} in every trial"
    if claim.order is not None:
        return f"{interval} of each step's ratio lies above 1: {' < '.join(claim.order.of)}"
    if claim.reference is not None:
        within = format_percent(claim.reference.within)
        return f"{interval} of the ratio to {claim.reference.run} lies within 1 ± {within}"
    bounds = (claim.median, claim.quantile, claim.ratio, claim.difference, claim.success, claim.slope)
    bound = next(one for one in bounds if one is not None)
    return f"{interval} lies {_says(bound)}"


def _says(bound: Bound) -> str:
    if bound.between is not None:
        return f"between {_limit(bound.between[0])} and {_limit(bound.between[1])}"
    if bound.equals is not None:
        return f"within {_limit(bound.within)} of {_limit(bound.equals)}"
    return f"below {_limit(bound.below)}" if bound.below is not None else f"above {_limit(bound.above)}"


def _limit(limit: Limit | bool | None) -> str:
    if isinstance(limit, bool):
        return "true" if limit else "false"
    return number(limit) if isinstance(limit, float) else str(limit)
