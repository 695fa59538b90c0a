"""What was compared -> cells of a table, Markdown and JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Final

from vmvc.records_compare import ComparedRow, ComparedRun, ComparedRuns
from vmvc.units import format_percent, show

COLUMNS: Final = (
    *("condition", "quantity", "reference", "median", "ratio [95% interval]", "effect (A12)", "p (Holm)"),
    *("verdict", "unlike in"),
)
NUMBERS: Final = COLUMNS[2:7]
LONGEST: Final = 60
"""Characters of a fact that a table shows; JSON has all of them."""


def about(compared: ComparedRuns, run: ComparedRun) -> list[str]:
    """Return which runs these are, and how many quantities have which verdict."""
    counts = Counter(row.verdict for row in run.rows)
    base, share = compared.reference, format_percent(compared.tolerance)
    return [
        f"{run.name} {run.run} against {base.name} {base.run}, tolerance {share}:",
        ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common()),
    ]


def cells(row: ComparedRow) -> list[str]:
    """Return what a table shows of a row."""
    return [
        row.condition,
        f"{row.metric}.{row.quantity}",
        show(row.reference_median, row.unit),
        show(row.median, row.unit),
        _ratio(row),
        "-" if row.a12 is None else f"{row.a12:.2f}",
        "-" if row.p_adjusted is None else _chance(row.p_adjusted),
        _verdict(row),
        ", ".join(row.flags) or "-",
    ]


def shown(value: object) -> str:
    """Return a fact on one line, cut where it is long."""
    if value is None:
        return "-"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def markdown(compared: ComparedRuns) -> str:
    """Return the comparison as GitHub-flavoured Markdown; what runs say is escaped."""
    return "\n".join(_lines(compared)).rstrip() + "\n"


def as_json(compared: ComparedRuns) -> str:
    """Return the comparison as JSON, as its schema has it; what is absent is not there."""
    return compared.model_dump_json(exclude_none=True, indent=1) + "\n"


def _lines(compared: ComparedRuns) -> Iterator[str]:
    from vmvc.report.markdown import escape, table

    for run in compared.runs:
        title, counts = about(compared, run)
        yield f"# {escape(title.rstrip(':'))}"
        yield ""
        yield f"{counts}."
        yield ""
        for note in run.notes:
            yield f"> **Note:** {escape(note)}."
            yield ""
        yield from table(COLUMNS, [cells(row) for row in run.rows], NUMBERS)
        if run.unmatched:
            yield "## Not compared"
            yield ""
            rows = [[one.condition or "all", one.quantity or "all", one.reason] for one in run.unmatched]
            yield from table(("condition", "quantity", "reason"), rows)
        if run.differences:
            yield "## What differs"
            yield ""
            facts = [[one.what, shown(one.reference), shown(one.other)] for one in run.differences]
            yield from table(("what", "reference", "other"), facts)


def _ratio(row: ComparedRow) -> str:
    if row.ratio is None:
        return "-"
    if row.ratio_low is None or row.ratio_high is None:
        return f"{row.ratio:.3g}"
    return f"{row.ratio:.3g} [{row.ratio_low:.3g}, {row.ratio_high:.3g}]"


def _chance(p: float) -> str:
    return "<0.0001" if p < 0.0001 else f"{p:.2g}"


def _verdict(row: ComparedRow) -> str:
    if row.effect:
        return f"{row.verdict} ({row.effect})"
    if row.verdict == "same":
        return "same within the tolerance"
    return f"{row.verdict}: {row.reason}" if row.reason else row.verdict
