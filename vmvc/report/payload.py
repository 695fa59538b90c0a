"""A view -> the data that the page's own script draws from, as JSON that may stand in a page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from vmvc.records import FindingRecord
from vmvc.report import charts, data
from vmvc.report.amount import chance
from vmvc.report.figures import Cell
from vmvc.report.looks import Chart
from vmvc.report.view import ACCOUNTS, Quantity, Trial, View
from vmvc.units import show, show_seconds


def embed(value: object) -> str:
    """Return JSON that may stand in a script element: nothing in it can end the element or be a tag."""
    written = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        written = written.replace(character, f"\\u{ord(character):04x}")
    return written


def payload(view: View) -> dict[str, Any]:
    """Return all that the script needs: quantities, conditions, trials and charts."""
    numbers = {one.key: index for index, one in enumerate(view.quantities)}
    return {
        "title": charts.TITLE,
        "first": next(iter(view.headlines), ""),
        "quantities": [_quantity(view, one) for one in view.quantities],
        "conditions": [{"label": one.label, "backend": one.backend} for one in view.conditions],
        "trials": [_trial(view, one, numbers) for one in view.trials],
        "aggregates": _aggregates(view) if data.aggregated(view) else None,
        "charts": {
            name: {"log": draw(view.conditions, log=True), "linear": draw(view.conditions, log=False)}
            for name, draw in (("points", charts.points), ("ecdf", charts.ecdf), ("order", charts.order))
        },
        "fixed": list(_fixed(view)),
    }


def _quantity(view: View, one: Quantity) -> dict[str, Any]:
    return {
        "key": one.key,
        "title": one.title,
        "divisor": one.divisor,
        "log": one.log,
        "says": one.says,
        "alt": _alt(view, one.key),
        "drift": [_drift(cell) for cell in view.row(one.key)],
        "medians": data.medians(view, one.key),
        "missing": data.missing(view, [one.key]),
    }


def _drift(cell: Cell) -> list[str]:
    """Return whether the order of trials mattered: condition, n, tau with its p, lag-1 and notes."""
    row = cell.row
    p = "" if row.tau_p is None else chance(row.tau_p)
    told = ("" if value is None else f"{value:.2f}" for value in (row.tau, row.lag1))
    tau, lag = told
    return [cell.label, str(row.n), tau, p, lag, cell.notes if row.n else cell.reason]


def _aggregates(view: View) -> dict[str, Any]:
    """Return the marks that stand for too many values, by quantity, as short as they can be.

    ``points``: place of the condition, value on the axis and its words; ``order``: then the trial and 1 for
    a warm-up.
    """
    places = {one.label: place for place, one in enumerate(view.conditions)}
    return {
        one.key: {
            "points": [_mark(row, places) for row in data.points(view, one.key)],
            "order": [
                [*_mark(row, places), row["t"], int(row["warm"] == "warm-up")]
                for row in data.order(view, one.key)
            ],
        }
        for one in view.quantities
    }


def _mark(row: data.Row, places: dict[str, int]) -> list[Any]:
    return [places[row["c"]], float(f"{row['v']:.9g}"), row["text"]]


def _fixed(view: View) -> Iterator[dict[str, Any]]:
    """Yield the charts that do not change, with their data."""
    labels = [one.label for one in view.conditions]
    for place, keys in (("chart-ratios", view.headlines), ("chart-workloads", view.workloads)):
        drawn, rows = data.ratios(view, keys)
        if rows:
            yield _drawn(place, charts.ratios(view.conditions, drawn), ratios=rows)
    if view.phases:
        unit, bars, ends = data.phases(view)
        known = [label for label in labels if any(row["c"] == label for row in ends)]
        yield _drawn(
            "chart-waterfall",
            charts.waterfall(known, [row["phase"] for row in bars], unit, max(row["end"] for row in ends)),
            phases=bars,
            ends=ends,
        )
    for what, title, rows, lines in data.fleets(view):
        chart = charts.fleet(view.conditions, title, sloped=bool(lines))
        yield _drawn(f"chart-fleet-{what}", chart, grown=rows, lines=lines)
    for metric, parts_of in ACCOUNTS.items():
        for index, (account, unit, names, rows) in enumerate(data.parts(view, metric)):
            yield _drawn(
                f"chart-{metric}-{index}",
                charts.stack(labels, names, f"median ({unit})"),
                parts=rows,
                missing=data.missing(view, [*parts_of[account].values()]),
            )


def _drawn(place: str, chart: Chart, **sets: list[data.Row]) -> dict[str, Any]:
    return {"id": place, "chart": chart, "sets": sets}


def _trial(view: View, one: Trial, numbers: dict[str, int]) -> dict[str, Any]:
    places = {condition.id: index for index, condition in enumerate(view.conditions)}
    begin = one.events["requested"].at_ns if "requested" in one.events else None
    return {
        "t": one.trial,
        "key": one.key,
        "c": places.get(one.condition, 0),
        "kind": {"warmup": "warm-up"}.get(kind(one), kind(one)),
        "failure": one.failure,
        "hint": one.hint,
        "wall": one.wall,
        "instance": one.instance,
        "place": f"block {one.block}, position {one.position}",
        "events": [] if begin is None else [
            [name, show_seconds((event.at_ns - begin) / 1e9) + _late(event.resolution)]
            for name, event in sorted(one.events.items(), key=lambda item: item[1].at_ns)
        ],
        "values": [[numbers[key], value, text(view, key, value)] for key, value in one.values.items()],
        "absent": list(one.absent),
        "findings": [[_severity(finding), finding.what] for finding in one.findings],
        "noise": [[name, f"{value:.4g}"] for name, value in one.noise.items()],
        "console": one.console,
        "note": one.console_note,
    }  # fmt: skip


def _severity(finding: FindingRecord) -> str:
    return f"{finding.severity}, {finding.code}"


def _late(resolution: float) -> str:
    return f" (late by up to {show_seconds(resolution)})" if resolution else ""


def _alt(view: View, key: str) -> str:
    told = "; ".join(
        f"{cell.label}: median {cell.median} of {cell.row.n}, from {cell.extremes}"
        if cell.row.n
        else f"{cell.label}: none"
        for cell in view.row(key)
    )
    return f"{key} of every trial. {told}"


def kind(trial: Trial) -> str:
    """Return ``failed``, ``warmup`` or ``measured``."""
    return "failed" if trial.failure else "warmup" if trial.warmup else "measured"


def kind_in_words(trial: Trial) -> str:
    """Return the kind for people, with what became of the instance."""
    word = "warm-up" if kind(trial) == "warmup" else kind(trial)
    return f"{word}, cleanup failed" if trial.unclean else word


def text(view: View, key: str, value: float | None) -> str:
    """Write a value of a quantity for people; "" where there is none."""
    quantity = view.quantity(key)
    return "" if value is None or quantity is None else show(value, quantity.unit)
