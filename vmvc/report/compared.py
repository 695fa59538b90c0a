"""What was compared -> a page: what differs first, then every ratio, every number and what is not alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vmvc import __version__
from vmvc.records_compare import ComparedRow, ComparedRun, ComparedRuns
from vmvc.report import frame
from vmvc.report.charts import TITLE
from vmvc.report.charts_runs import KINDS, forest
from vmvc.report.compared_words import COLUMNS, NUMBERS, cells, shown
from vmvc.report.plain import clean
from vmvc.report.view import Notice
from vmvc.sheet import number
from vmvc.units import format_percent, show

MOST_DRAWN: Final = 60
"""Rows of one run that its chart shows, those that differ before the others."""
MOST_TOLD: Final = 12
"""Differences that are told in sentences; the table has all."""
DIFFERENT: Final = ("worse", "better", "differs")
SPOILING: Final = "flagged, so that the runs may not be alike: "


@dataclass(frozen=True, slots=True)
class Told:
    """A row that differs, in words; ``kind``: one of ``KINDS``."""

    kind: str
    title: str
    sentence: str
    spoiler: str


def page(compared: ComparedRuns) -> str:
    """Return the comparison as HTML."""
    base, share = compared.reference, format_percent(compared.tolerance)
    names = [f"{run.name} {run.run}" for run in compared.runs]
    return frame.render(
        "compare.html.j2",
        {"title": TITLE, "fixed": list(_charts(compared))},
        version=__version__,
        title=f"{base.name} {base.run}, compared with {len(names)} other run{'s' if len(names) > 1 else ''}",
        about=[f"reference {base.folder}", f"tolerance {share}", f"intervals at {compared.confidence:.0%}"],
        notices=[Notice("warning", clean(note)) for note in _once(compared)],
        sections=[("answer", "Answer"), ("ratios", "Ratios"), ("numbers", "Numbers"),
                  ("unmatched", "Not compared"), ("differences", "What differs"), ("method", "Method")],
        footer="Made by vmvc from the journals of these runs.",
        words={
            "compared": compared,
            "runs": [_run(compared, index, run) for index, run in enumerate(compared.runs)],
            "columns": [(name, "n" if name in NUMBERS else "") for name in COLUMNS],
            "method": list(_method(compared)),
            "command": _command(compared),
            "most": MOST_TOLD,
            "drawn": MOST_DRAWN,
        },
    )  # fmt: skip


def kind_of(row: ComparedRow) -> str:
    """Return which of ``KINDS`` a row is; "" where nothing is compared."""
    match row.verdict:
        case "unlike":
            return ""
        case "same" | "cannot tell":
            return row.verdict
    return row.effect or "differs"


def _once(compared: ComparedRuns) -> list[str]:
    return list(dict.fromkeys(note for run in compared.runs for note in run.notes))


def _run(compared: ComparedRuns, index: int, run: ComparedRun) -> dict[str, Any]:
    counts = Counter(kind_of(row) or "not compared" for row in run.rows)
    order = [*KINDS, "not compared"]
    told = [_told(row) for row in sorted(run.rows, key=_weight) if kind_of(row) in DIFFERENT]
    return {
        "id": index,
        "title": f"{run.name} {run.run}",
        "folder": run.folder,
        "counts": ", ".join(f"{counts[kind]} {_counted(kind, compared)}" for kind in order if counts[kind]),
        "told": told[:MOST_TOLD],
        "more": len(told) - MOST_TOLD,
        "rows": [(_values(row), [clean(cell) for cell in cells(row)], kind_of(row)) for row in run.rows],
        "drawn": bool(_ratios(run)),
        "alt": "; ".join(f"{row['k']} {row['text']} {row['kind']}" for row in _ratios(run)),
        "unmatched": [
            (clean(one.condition or "all"), clean(one.quantity or "all"), clean(one.reason))
            for one in run.unmatched
        ],
        "differences": [
            (clean(one.what), clean(shown(one.reference)), clean(shown(one.other))) for one in run.differences
        ],
    }


def _counted(kind: str, compared: ComparedRuns) -> str:
    share = format_percent(compared.tolerance)
    words = {"same": f"the same within {share}", "differs": "different, with no better direction"}
    return words.get(kind, kind)


def _weight(row: ComparedRow) -> int:
    """Return the place of a row among the others: what is worse comes first."""
    return [*KINDS, ""].index(kind_of(row))


def _told(row: ComparedRow) -> Told:
    ratio = cells(row)[4]
    against = f"{show(row.median, row.unit)} against {show(row.reference_median, row.unit)}"
    words = f"{against}, ratio {ratio}" if row.ratio is not None else against
    chance = "" if row.p_adjusted is None else f", p (Holm) {cells(row)[6]}"
    return Told(
        kind_of(row),
        clean(f"{row.metric}.{row.quantity} on {row.condition} is {row.verdict}"),
        f"{words}{chance}, n = {row.n} and {row.reference_n}.",
        clean(f"{SPOILING}{', '.join(row.flags)}") if row.flags else "",
    )


def _values(row: ComparedRow) -> list[str]:
    """Return what each cell of a row sorts by; "" where that is its text."""
    numbers = (row.reference_median, row.median, row.ratio, row.a12, row.p_adjusted)
    return ["", "", *("" if one is None else number(one) for one in numbers), "", ""]


def _charts(compared: ComparedRuns) -> Iterator[dict[str, Any]]:
    for index, run in enumerate(compared.runs):
        rows = _ratios(run)
        if rows:
            ends = [row[end] for row in rows for end in ("v", "low", "high") if end in row]
            chart = forest([row["k"] for row in rows], compared.tolerance, (min(ends), max(ends)))
            yield {"id": f"chart-ratios-{index}", "chart": chart, "sets": {"ratios": rows}}


def _ratios(run: ComparedRun) -> list[dict[str, Any]]:
    """Return a row a ratio that a log axis can show, in the table's order."""
    found = [row for row in run.rows if row.ratio is not None and row.ratio > 0 and kind_of(row)]
    kept = sorted(sorted(found, key=_weight)[:MOST_DRAWN], key=found.index)
    return [_ratio(row) for row in kept]


def _ratio(row: ComparedRow) -> dict[str, Any]:
    told: dict[str, Any] = {
        "k": clean(f"{row.condition} {row.metric}.{row.quantity}"),
        "v": row.ratio,
        "kind": kind_of(row),
        "text": cells(row)[4],
    }
    if row.ratio_low is not None and row.ratio_high is not None and row.ratio_low > 0:
        told |= {"low": row.ratio_low, "high": row.ratio_high}
    return told


def _method(compared: ComparedRuns) -> Iterator[tuple[str, str]]:
    share = format_percent(compared.tolerance)
    yield "Matched", "conditions by their ids (backend and levels), quantities by name, unit and meaning"
    yield (
        "Ratio",
        (
            "median over the reference's median, with the 95% interval by percentile bootstrap (10,000 "
            "resamples, unpaired, seeded by the reference's seed), widened by both resolutions"
        ),
    )
    yield (
        "Verdict",
        (
            f"different where the whole interval lies beyond 1 less or plus {share} and p by Holm is below "
            f"0.05; the same where the whole interval lies within {share}; else it cannot be told"
        ),
    )
    families = ", ".join(dict.fromkeys(str(run.family) for run in compared.runs))
    yield "Effect", "A12: the chance that a value is larger than one of the reference; ties count half"
    yield (
        "Test",
        f"exact Mann-Whitney up to 50 values in both, else Brunner-Munzel; Holm over {families} tests",
    )


def _command(compared: ComparedRuns) -> str:
    import shlex

    folders: Sequence[str] = [compared.reference.folder, *(run.folder for run in compared.runs)]
    quoted = " ".join(shlex.quote(clean(one)) for one in folders)
    return f"vmvc compare {quoted} --tolerance {format_percent(compared.tolerance)}"
