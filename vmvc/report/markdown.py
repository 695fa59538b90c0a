"""A view -> report.md, for pull requests and hand-ins: the answer, the numbers and what they stand on.

What guests, engines and files say is escaped, so that it is text in Markdown and in the HTML made of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from vmvc.attempts import troubles
from vmvc.report.view import View
from vmvc.units import show_bytes, show_seconds

MARKS: Final = {"supported": "✅", "refuted": "❌", "inconclusive": "❔"}
_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]<>#|~&!$@])")


def markdown(view: View) -> str:
    """Return the report as GitHub-flavoured Markdown."""
    return "\n".join(_lines(view)).rstrip() + "\n"


def escape(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[str] = ()) -> Iterator[str]:
    """Yield the lines of a table; ``right`` names the columns that hold numbers."""
    aligned = set(right)
    yield _row(columns)
    yield _row(["--:" if column in aligned else "---" for column in columns])
    for row in rows:
        yield _row([escape(cell) for cell in row])
    yield ""


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _lines(view: View) -> Iterator[str]:
    yield f"# {escape(view.title)}"
    yield ""
    bad = troubles(view.failed, view.cleanup_failed)
    began = f", begun {escape(view.began)}" if view.began else ""
    yield (
        f"Experiment `{view.name}`, run `{view.run}`{began}: {view.measured} of {view.planned} trials "
        f"measured{bad}."
    )
    yield ""
    for notice in view.notices:
        cure = f" Cure: {escape(notice.remedy)}." if notice.remedy else ""
        yield f"> **{notice.level.capitalize()}:** {escape(notice.text)}.{cure}"
        yield ""
    yield from _answer(view)
    yield from _start_up(view)
    yield from _parts(view)
    yield from _fleet(view)
    yield from _workloads(view)
    yield from _isolation(view)
    yield from _slopes(view)
    yield from _layers(view)
    yield from _numbers(view)
    yield from _findings(view)
    yield from _method(view)


def _answer(view: View) -> Iterator[str]:
    yield "## The answer"
    yield ""
    for one in view.verdicts:
        yield f"- {MARKS.get(one.verdict, '▫️')} **{escape(one.verdict.capitalize())}:** {escape(one.says)}  "
        yield f"  {escape(one.sentence)}"
        for spoiler in one.spoilers:
            yield f"  ⚠️ {escape(spoiler)}"
    if not view.verdicts:
        for sentence in view.answers:
            yield f"- {escape(sentence)}"
    yield ""
    columns = ["condition", *view.headlines]
    rows = [[one.label, *(_cell(view, one.id, key) for key in view.headlines)] for one in view.conditions]
    yield from table(columns, rows, view.headlines)
    yield f"Medians with their {view.confidence:.0%} intervals."
    yield ""
    if view.ratios:
        yield f"### Compared with {escape(view.baseline)}"
        yield ""
        columns = ["quantity", "condition", "baseline", "ratio", "interval", "difference", "p (Holm)"]
        yield from table(
            columns,
            (
                [one.key, one.label, one.baseline, one.ratio, one.interval, one.difference, one.chance]
                for one in view.ratios
                if one.key in view.headlines
            ),
            columns[3:],
        )


def _cell(view: View, condition: str, key: str) -> str:
    cell = view.cells[condition, key]
    if cell.row.median is None:
        return "none"
    return f"{cell.median} [{cell.interval}]" if cell.interval else f"{cell.median} (n = {cell.row.n})"


def _start_up(view: View) -> Iterator[str]:
    if not view.phases:
        return
    yield "## Start-up, phase by phase"
    yield ""
    rows = [
        [one.condition, one.name, show_seconds(one.begin), show_seconds(one.end), str(one.n)]
        for one in view.phases
    ]
    yield from table(["condition", "phase", "from", "to", "n"], rows, ["from", "to", "n"])
    yield "Medians of instants since the request."
    yield ""


def _parts(view: View) -> Iterator[str]:
    for title, listed in (("Memory, by its names", view.memory), ("Disk", view.disk)):
        if not listed:
            continue
        yield f"## {title}"
        yield ""
        rows = [[one.condition, one.account, one.name, one.key, show_bytes(one.value)] for one in listed]
        yield from table(["condition", "account", "part", "quantity", "median"], rows, ["median"])
        yield "Parts of one account add up; accounts count the same pages in different ways and never do."
        yield ""


def _fleet(view: View) -> Iterator[str]:
    if not view.lines:
        return
    yield "## A fleet that grows"
    yield ""
    rows = [
        [one.condition, one.what, one.text, one.interval or "too few looks", one.fixed, str(one.n)]
        for one in view.lines
    ]
    columns = ["condition", "what", "each further instance", "interval", "shared by all", "trials"]
    yield from table(columns, rows, columns[2:])


def _workloads(view: View) -> Iterator[str]:
    if not view.workloads:
        return
    beside = "the bare host" if view.bare else escape(view.baseline)
    yield f"## The same work, beside {beside}"
    yield ""
    known = {(one.key, one.row.condition): one for one in view.ratios}
    rows = []
    for key in view.workloads:
        for cell in view.row(key):
            ratio = known.get((key, cell.row.condition))
            told = ["", ""] if ratio is None else [ratio.ratio, ratio.interval]
            rows.append([key, cell.label, cell.median or "none", cell.interval, *told])
    columns = ["quantity", "condition", "median", "interval", "ratio", "interval of the ratio"]
    yield from table(columns, rows, columns[2:])


def _isolation(view: View) -> Iterator[str]:
    if view.isolation:
        yield "## Isolation, as it was found"
        yield ""
        rows = [[one.key, *one.words, one.says] for one in view.isolation]
        yield from table(["fact", *(escape(one.label) for one in view.conditions), "meaning"], rows)


def _slopes(view: View) -> Iterator[str]:
    if view.slopes:
        yield "## Across the levels of a factor"
        yield ""
        rows = [
            [one.key, one.backend, one.factor, one.levels, one.slope, one.chance]
            for one in view.slopes
            if one.key in view.headlines
        ]
        yield from table(["quantity", "backend", "factor", "levels", "slope", "p"], rows, ["slope", "p"])


def _layers(view: View) -> Iterator[str]:
    from vmvc.report.explained import table_of

    for one in view.explained.tables:
        yield from table_of(view.explained, one)


def _numbers(view: View) -> Iterator[str]:
    yield "## Every planned condition, every quantity"
    yield ""
    columns = ["condition", "quantity", "median", "interval", "quartiles", "extremes", "n", "notes"]
    rows = [
        [
            cell.label,
            cell.key,
            cell.median,
            cell.interval,
            cell.quartiles,
            cell.extremes,
            str(cell.row.n),
            cell.notes,
        ]
        for cell in view.cells.values()
    ]
    yield from table(columns, rows, columns[2:7])
    if view.missing:
        yield "Missing:"
        yield ""
        for one in view.missing:
            yield f"- {escape(one.condition)}: {escape(one.what)}: {escape(one.reason)}"
        yield ""


def _findings(view: View) -> Iterator[str]:
    if view.findings:
        yield "## Findings"
        yield ""
        rows = [[one.severity, one.what, one.remedy] for one in view.findings]
        yield from table(["severity", "finding", "cure"], rows)


def _method(view: View) -> Iterator[str]:
    yield "## Method"
    yield ""
    for term, text in view.method:
        yield f"- **{escape(term)}:** {escape(text)}"
    yield ""
    yield "## Environment"
    yield ""
    for group in view.environment:
        if group.title.startswith(("Host", "Backend ")):
            told = ", ".join(f"{name} {text}" for name, text in group.rows)
            yield f"- **{escape(group.title)}:** {escape(told)}"
    yield ""
    yield "## The experiment, as it was given"
    yield ""
    yield from (
        fenced(view.source, "yaml") if view.source else ["experiment.yaml is not in the run's folder.", ""]
    )
    yield "## Measure it again"
    yield ""
    yield from fenced("\n".join(view.commands), "sh")


def fenced(text: str, language: str) -> Iterator[str]:
    """Yield a code block whose fence is longer than any in the text."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    yield f"{fence}{language}"
    yield from text.rstrip("\n").splitlines()
    yield fence
    yield ""
