"""A view -> report.html: one file that opens offline, in ten years too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from vmvc.attempts import troubles
from vmvc.report import data, frame, payload
from vmvc.report.figures import Cell, Ratio
from vmvc.report.view import Condition, Quantity, View
from vmvc.sheet import number
from vmvc.units import show_bytes, show_seconds

FOOTER: Final = (
    "Made by vmvc from journal.jsonl and run.json alone; made again, it is the same byte for byte."
)
MARKS: Final = {"supported": "✓", "refuted": "✗", "inconclusive": "?"}
ARROWS: Final = {"lower": "↓", "higher": "↑", "neutral": ""}
ORDER_FLAGS: Final = frozenset({"flag.drift", "flag.slow-first", "flag.autocorrelated", "flag.bimodal"})
"""Findings that the order of trials shows."""
ACCOUNT_WORDS: Final = {
    "memory": (
        "Memory, by its names",
        (
            "There is no one figure. Processes, cgroup, guest and host count the same pages each in its own "
            "way: parts of one account add up, accounts never do. Process figures miss what the kernel holds "
            "for the guest; cgroups miss helpers outside; what the host has less of has it all, and its own "
            "noise."
        ),
    ),
    "disk": (
        "Disk",
        (
            "Blocks in use on the host: what would come back if only this instance were removed, and what it "
            "shares with other instances of its image."
        ),
    ),
}


def page(view: View) -> str:
    """Return the report as HTML."""
    bad = troubles(view.failed, view.cleanup_failed)
    counts = f"{view.measured} of {view.planned} trials measured{bad}"
    return frame.render(
        "report.html.j2",
        payload.payload(view),
        script="report.js",
        version=view.vmvc,
        title=view.title,
        about=[one for one in (view.name, f"run {view.run}", view.began, counts) if one],
        notices=view.notices,
        sections=list(_sections(view)),
        footer=FOOTER,
        words={"view": view, **_words(view)},
    )


# --- words ------------------------------------------------------------------------------------------------


def _words(view: View) -> dict[str, Any]:
    backends = [*dict.fromkeys(one.backend for one in view.conditions)]
    labels = {one.id: one.label for one in view.conditions}
    named = {id(finding) for backend in backends for finding in view.found_on(backend)}
    first = next(iter([*view.headlines, *(one.key for one in view.quantities)]), "")
    return {
        "marks": MARKS,
        "better": {one.key: ARROWS[one.better] for one in view.quantities},
        "arrows": "an arrow shows which direction is better",
        "meanings": [(f"{one.key}, {one.unit}", one.says) for one in view.quantities],
        "confidence": f"{view.confidence:.0%}",
        "common": [one for one in view.findings if one.severity != "info" and id(one) not in named],
        "spoilers": {one.id: _spoilers(view, one) for one in view.conditions},
        "counts": {one.id: _count(view, one.id) for one in view.conditions},
        "aggregated": data.aggregated(view),
        "quantiles": data.QUANTILES,
        "by_metric": _by_metric(view.quantities),
        "first": first,
        "fleets": [
            (what, f"{title}, medians: {'; '.join(_grown(row) for row in rows)}")
            for what, title, rows, _ in data.fleets(view)
        ],
        "accounts": list(_accounts(view)),
        "alts": {
            "waterfall": _waterfall_alt(view),
            "ratios": _ratios_alt(view, view.headlines),
            "workloads": _ratios_alt(view, view.workloads),
        },
        "drawn": {
            "ratios": bool(data.ratios(view, view.headlines)[1]),
            "workloads": bool(data.ratios(view, view.workloads)[1]),
        },
        "kind_in_words": payload.kind_in_words,
        "columns": [labels.get(one.condition, one.condition) for one in view.explained.columns],
        "worked": list(_worked(view)),
        "flags": [one.what for one in view.findings if one.code in ORDER_FLAGS],
        "kind": payload.kind,
        "number": lambda value: "" if value is None else number(value),
        "text": lambda key, value: payload.text(view, key, value),
        "seconds": show_seconds,
        "bytes": show_bytes,
    }


def _worked(view: View) -> Iterator[tuple[Cell, Ratio | None]]:
    """Yield the cells of workloads, each with its ratio where it has one."""
    known = {(one.key, one.row.condition): one for one in view.ratios}
    for key in view.workloads:
        for cell in view.row(key):
            yield cell, known.get((key, cell.row.condition))


def _spoilers(view: View, condition: Condition) -> list[str]:
    """Return the warnings that name the condition or its backend, without that name."""
    names = (f"{condition.backend}: ", f"{condition.id}: ")
    return [
        finding.what.removeprefix(name)
        for finding in view.findings
        for name in dict.fromkeys(names)
        if finding.severity != "info" and finding.what.startswith(name)
    ]


def _count(view: View, condition: str) -> str:
    cells = [cell for (name, _), cell in view.cells.items() if name == condition]
    most = max((cell.row.n for cell in cells), default=0)
    planned = max((cell.row.planned for cell in cells), default=0)
    return f"{most} of {planned}"


def _by_metric(quantities: Sequence[Quantity]) -> list[tuple[str, list[Quantity]]]:
    groups: dict[str, list[Quantity]] = {}
    for one in quantities:
        groups.setdefault(one.metric, []).append(one)
    return list(groups.items())


def _sections(view: View) -> Iterator[tuple[str, str]]:
    yield "answer", "Answer"
    if view.phases:
        yield "start-up", "Start-up"
    yield "points", "Every point"
    if view.memory:
        yield "memory", "Memory"
    if view.disk:
        yield "disk", "Disk"
    if view.fleets or view.lines:
        yield "fleet", "Fleet"
    if view.workloads:
        yield "workloads", "Workloads"
    if view.isolation:
        yield "isolation", "Isolation"
    if view.slopes:
        yield "levels", "Levels"
    yield "order", "Order"
    if view.explained.columns:
        yield "layers", "Lesson"
    yield "numbers", "Numbers"
    yield "trials", "Trials"
    yield "findings", "Findings"
    yield "method", "Method"
    yield "again", "Again"


def _accounts(view: View) -> Iterator[tuple[str, str, str, list[tuple[str, str]]]]:
    for metric, listed in (("memory", view.memory), ("disk", view.disk)):
        if listed:
            panels = []
            for account, _, _, rows in data.parts(view, metric):
                told = "; ".join(f"{row['c']} {row['part']} {row['text']}" for row in rows)
                panels.append((account, f"{account}, medians: {told}"))
            yield metric, *ACCOUNT_WORDS[metric], panels


def _grown(row: data.Row) -> str:
    return f"{row['c']} {row['i']}: {row['text']}"


def _ratios_alt(view: View, keys: Sequence[str]) -> str:
    rows = [one for one in view.ratios if one.key in keys and one.ratio]
    told = (f"{one.key} {one.label} {one.ratio} ({one.interval or 'no interval'})" for one in rows)
    return f"Ratios of medians to the baseline: {'; '.join(told)}"


def _waterfall_alt(view: View) -> str:
    told = (
        f"{one.condition} {one.name} {show_seconds(one.begin)} to {show_seconds(one.end)}"
        for one in view.phases
    )
    return f"Phases of the start-up, medians since the request: {'; '.join(told)}"
