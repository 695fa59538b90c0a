"""A view -> report.html: one file that opens offline, in ten years too, and runs no script but its own.

Everything that guests, engines and files say is escaped; beyond that the page's own policy lets the browser
run the two scripts whose digests it names, and load nothing at all.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from vmvc.report import data, payload, vega
from vmvc.report.view import Condition, Quantity, View
from vmvc.results import number
from vmvc.units import show_bytes, show_seconds

FILES: Final = Path(__file__).with_name("files")
MARKS: Final = {"supported": "✓", "refuted": "✗", "inconclusive": "?"}
ARROWS: Final = {"lower": "↓", "higher": "↑", "neutral": ""}
ORDER_FLAGS: Final = frozenset({"flag.drift", "flag.slow-first", "flag.autocorrelated", "flag.bimodal"})
"""Findings that the order of trials shows."""
ACCOUNT_WORDS: Final = {
    "memory": (
        "Memory, by its names",
        (
            "There is no one figure. Processes, cgroup and host count the same pages in three ways: parts of "
            "one account add up, accounts never do. Process figures miss what the kernel holds for the "
            "guest; cgroups miss helpers outside; what the host has less of has it all, and its own noise."
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
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(FILES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    library, script = vega.script(), (FILES / "report.js").read_text(encoding="utf-8")
    environment.filters["tie"] = lambda text: re.sub(r"(?<=\d) (?=\S)|(?<=to) (?=\d)", "\u00a0", text)
    return environment.get_template("report.html.j2").render(
        view=view,
        policy=_policy(library, script),
        css=Markup((FILES / "report.css").read_text(encoding="utf-8")),
        payload=Markup(payload.embed(payload.payload(view))),
        vega=Markup(library),
        script=Markup(script),
        **_words(view),
    )


def _policy(*scripts: str) -> str:
    """Return the content security policy: these scripts, inline styles, and no request whatsoever."""
    digests = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


# --- words ------------------------------------------------------------------------------------------------


def _words(view: View) -> dict[str, Any]:
    backends = [*dict.fromkeys(one.backend for one in view.conditions)]
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
            for what, title, rows in data.fleets(view)
        ],
        "accounts": list(_accounts(view)),
        "sections": list(_sections(view)),
        "alts": {"waterfall": _waterfall_alt(view), "ratios": _ratios_alt(view)},
        "words": {"measured": "measured", "warmup": "warm-up", "failed": "failed"},
        "flags": [one.what for one in view.findings if one.code in ORDER_FLAGS],
        "kind": payload.kind,
        "number": lambda value: "" if value is None else number(value),
        "text": lambda key, value: payload.text(view, key, value),
        "seconds": show_seconds,
        "bytes": show_bytes,
    }


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
    if view.fleets:
        yield "fleet", "Fleet"
    if view.slopes:
        yield "levels", "Levels"
    yield "order", "Order"
    if view.layers.backends:
        yield "layers", "Layers"
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


def _ratios_alt(view: View) -> str:
    rows = [one for one in view.ratios if one.key in view.headlines and one.ratio]
    told = (f"{one.key} {one.label} {one.ratio} ({one.interval or 'no interval'})" for one in rows)
    return f"Ratios of medians to the baseline: {'; '.join(told)}"


def _waterfall_alt(view: View) -> str:
    told = (
        f"{one.condition} {one.name} {show_seconds(one.begin)} to {show_seconds(one.end)}"
        for one in view.phases
    )
    return f"Phases of the start-up, medians since the request: {'; '.join(told)}"
